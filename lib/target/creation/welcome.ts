import type { FileNode } from '../../filesystem/tree.js'

/**
 * What a new drive tells the person who opens it and has never heard of iSCSI. Lines end as Notepad of every Windows
 * wants it, and the Korean text begins with a byte order mark, without which an older Notepad takes it for another
 * encoding.
 */
export function welcomeFiles(nowMs: number): FileNode<Buffer>[] {
  const times = { createdMs: nowMs, modifiedMs: nowMs, accessedMs: nowMs }
  return [
    { name: 'README.txt', text: ENGLISH },
    { name: '읽어주세요.txt', text: `\ufeff${KOREAN}` }
  ].map(({ name, text }) => {
    const source = Buffer.from(text.replace(/\n/g, '\r\n'), 'utf8')
    return { name, lengthBytes: source.length, times, source }
  })
}

const ENGLISH = `This drive comes from another computer
======================================

It is shared over the network by Cloud-x. Use it like any other drive:
open, copy, change and delete files as you like.

WHAT YOU SAVE HERE IS YOURS ALONE
  Nobody else sees what you change, and you change nothing for anybody else.
  Everyone starts with the same files.

IT GOES WHEN YOU DISCONNECT
  When you disconnect this drive (iSCSI logout), everything that you saved on
  it is thrown away. Next time you find it as it was at the start.
  Copy what you want to keep to another drive first.
  If only the network fails or your computer sleeps, your changes wait for
  you for a while; do not rely on it.

IF THIS IS YOUR DRIVE: HOW TO FILL IT
  1. On the computer that shares it, stop the program and start it again with
     "--author local" added:

       npm start "--" ./share.img --author local

  2. On that same computer, connect the drive as everybody does. What is saved
     now goes into the image itself and stays, for everyone.
     Nobody else can connect meanwhile, and nobody may have changes of his own
     left: let the others disconnect first.
  3. Copy your files, delete this text if you like, and disconnect the drive.
     Start the program without "--author local" again.

  Or make a new image from a folder, without connecting anything:

       npm start "--" image create new.img --from ./folder
`

const KOREAN = `이 드라이브는 다른 컴퓨터에서 온 것입니다
========================================

Cloud-x가 네트워크로 공유하는 드라이브입니다. 다른 드라이브와 똑같이 쓰면 됩니다.
파일을 열고, 복사하고, 고치고, 지워도 괜찮습니다.

여기에 저장한 것은 나만의 것입니다
  내가 바꾼 내용은 다른 사람에게 보이지 않고, 다른 사람의 드라이브도 바뀌지 않습니다.
  누구나 같은 파일에서 시작합니다.

연결을 끊으면 사라집니다
  이 드라이브의 연결을 끊으면(iSCSI 로그아웃) 저장한 것이 모두 버려집니다.
  다음에 연결하면 처음 상태 그대로입니다.
  남겨 둘 파일은 먼저 다른 드라이브에 복사해 두세요.
  네트워크가 잠시 끊기거나 컴퓨터가 절전 상태가 된 것뿐이라면 바꾼 내용이
  한동안 기다려 주지만, 거기에 기대지는 마세요.

내가 이 드라이브의 주인이라면: 채우는 방법
  1. 드라이브를 공유하는 컴퓨터에서 프로그램을 멈추고 "--author local"을 붙여
     다시 시작합니다.

       npm start "--" ./share.img --author local

  2. 바로 그 컴퓨터에서, 다른 사람들이 하듯이 드라이브를 연결합니다. 이제 저장하는
     것은 이미지 자체에 들어가 모두에게 그대로 남습니다.
     그동안 다른 사람은 연결할 수 없고, 다른 사람이 바꾼 내용이 남아 있어도 안 됩니다.
     먼저 모두 연결을 끊게 하세요.
  3. 파일을 복사하고, 원하면 이 글을 지우고, 드라이브의 연결을 끊습니다.
     그리고 "--author local" 없이 프로그램을 다시 시작합니다.

  연결하지 않고 폴더 하나로 새 이미지를 만들 수도 있습니다.

       npm start "--" image create new.img --from ./folder
`
