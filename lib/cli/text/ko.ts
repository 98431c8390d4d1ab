import type { Text } from './text.js'

export const ko: Text = {
  secret: {
    made: (path) => `${path} 파일에 16자짜리 새 암호를 저장했습니다. 본인만 읽을 수 있습니다.`,
    use: '이 암호로 서버를 시작하려면:',
    clients: '디스크를 쓸 사람에게 사용자 이름 pc와 이 파일의 내용을 알려 주세요. 둘 다 대소문자를 구분합니다.',
    windowsAccess: '이 PC의 다른 사용자가 읽지 못하게 하려면(PowerShell):',
    exists: (path) => `${path} 파일이 이미 있어 그대로 두었습니다. 다른 이름을 지정하거나 먼저 지우세요.`
  },
  image: {
    blank: (path, size) => `${path}: 0으로 채워진 ${size} 이미지를 만들었습니다(쓴 만큼만 공간 차지).`,
    empty: (path, label, size) => `${path}: ${size} 빈 드라이브 ${label}을(를) 만들었습니다(쓴 만큼만 공간 차지).`,
    filled: (path, label, size, { fileCount, directoryCount, size: content }) =>
      `${path}: ${size} 드라이브 ${label}을(를) 만들고 파일 ${fileCount}개, 폴더 ${directoryCount}개, 모두 ${content}를 ` +
      '담았습니다(쓴 만큼만 공간 차지).',
    leftOut: (sentence) => `제외됨: ${sentence}.`,
    interrupted: (path) => `중단했습니다. ${path} 파일은 만들지 않았습니다.`
  },
  banner: {
    oneSource: ({ clientCount, address }) =>
      `지금까지 접속한 PC ${clientCount}대가 모두 ${address}에서 들어왔습니다. 중간에서 주소를 바꾸고 있습니다(NAT, 컨테이너 ` +
      '네트워크). 주소로는 PC를 구별할 수 없으니 이름과 CHAP 암호로 제한하거나, 컨테이너라면 호스트 네트워크를 쓰세요.',
    facts: { image: '이미지', name: '대상 이름', address: '주소', open: '접속 허용' },
    readOnly: '읽기 전용',
    shared: '모두가 함께 쓰며 이미지에 바로 기록',
    also: (addresses) => `다른 주소: ${addresses}`,
    port: (address, port) => `${address}, 포트 ${port}`,
    noAddress: '네트워크에 연결되어 있지 않아 다른 PC에서 접속할 수 없습니다',
    onlyThisPc: '이 PC의 프로그램만 접속할 수 있습니다. 다른 PC와 함께 쓰려면 --host를 빼고 시작하세요',
    openToNetwork:
      '이 네트워크의 모든 사람에게 열려 있습니다(OPEN TO EVERYONE ON THIS NETWORK). 암호를 묻지 않습니다. --allow로 ' +
      '접속할 PC를 제한하거나, "cloudx secret new"로 암호를 만들어 --chap-user pc --chap-secret-file로 지정하세요.',
    openToWorld:
      '이 네트워크는 물론 바깥의 모든 사람에게 열려 있습니다(OPEN TO EVERYONE). --allow *는 어떤 주소든 암호 없이 ' +
      '받아들입니다.',
    openTo: (entries) => `${entries} (이름은 누구나 바꿀 수 있으니 확실히 막으려면 CHAP 암호를 쓰세요)`,
    nearOnly: '이 네트워크',
    withChap: (who, user) => `${who}, 사용자 ${user}의 암호 필요(CHAP)`,
    promise: '각자 쓴 내용은 자기만 볼 수 있고, 연결을 끊으면 사라집니다.',
    partition: (number) => `파티션 ${number}`,
    promiseOfSome:
      '각자 쓴 내용은 자기만 볼 수 있고, 연결을 끊으면 사라집니다. 위에 읽기 전용이나 함께 쓴다고 적힌 이미지는 다릅니다.',
    promiseShared:
      '한 사람이 쓴 내용을 모두가 보고, 그대로 남습니다. NTFS, exFAT, ext4는 두 PC가 동시에 쓰면 깨지니 한 번에 한 PC만 ' +
      '연결하거나 클러스터 파일 시스템을 쓰세요.',
    promiseReadOnly: '아무도 이 디스크에 쓸 수 없습니다.',
    warning: '주의',
    dhcp: (address) =>
      `${address}은(는) 공유기가 빌려준 주소(DHCP)라서 내일은 바뀔 수 있습니다. 바뀌면 다른 PC가 이 PC를 찾지 못합니다. ` +
      '공유기에서 주소를 예약하거나 직접 고정하세요.',
    fat: (what, path, type) =>
      `${what} ${path}이(가) ${type} 드라이브에 있습니다. 빈 공간을 절약하지 못하고 데이터가 깨지기 쉬우니 NTFS, ext4, XFS, ` +
      'APFS 드라이브를 쓰세요.',
    network: (what, path, name) =>
      `${what} ${path}이(가) 네트워크 드라이브(${name})에 있습니다. 그 연결이 끊기면 모든 디스크가 멈추니 이 PC의 드라이브를 쓰세요.`,
    synced: (what, path, name) =>
      `${what} ${path}이(가) ${name} 동기화 폴더에 있습니다. 바뀔 때마다 클라우드로 올라가고 파일이 잠기거나 바뀔 수 있으니 ` +
      '동기화하지 않는 폴더를 쓰세요.',
    memory: (what, path) => `${what} ${path}이(가) 메모리에 있어 이 PC를 다시 시작하면 사라집니다.`,
    image: '이미지',
    state: '상태 폴더',
    windows: 'Windows에서 연결: PowerShell을 "관리자 권한으로 실행"한 창에 붙여 넣으세요',
    windowsLeave: '연결 끊기(열린 파일을 먼저 닫으세요)',
    linux: 'Linux에서 연결(open-iscsi 패키지)',
    linuxLeave: '연결 끊기',
    qemu: 'QEMU 가상 머신으로 부팅',
    ipxe: 'iPXE로 PC 부팅',
    firewall: '이 PC에서 한 번만, 방화벽 허용: PowerShell을 "관리자 권한으로 실행"한 창에 붙여 넣으세요',
    secretHint: (secret) => `${secret} 자리에 암호 파일의 내용을 넣으세요.`,
    mutualHint: (secret) => `${secret} 자리에는 --chap-mutual-user의 암호를 넣으세요.`,
    qemuHint: (file) => `QEMU는 ${file} 파일에서 암호를 읽습니다. 암호 뒤에 줄 바꿈이 없어야 합니다.`,
    otherTargets: (names) => `다른 대상도 같은 방법으로 연결합니다: ${names}`,
    author: (address, port) =>
      `디스크에 내용을 채우려면: 멈췄다가 --author local을 붙여 다시 시작하고, 이 PC에서 ${address} 포트 ${port}에 ` +
      '연결하세요. 그때 쓴 내용은 이미지에 그대로 저장됩니다.',
    authorIs:
      '작성자가 쓴 내용은 이미지에 그대로 저장됩니다. 그동안 다른 사람은 연결할 수 없으니, 다 채우면 멈췄다가 --author ' +
      '없이 다시 시작하세요.',
    authorOfShared: (address, port) =>
      `디스크에 내용을 채우려면: 아무도 연결하지 않은 동안 이 PC에서 ${address} 포트 ${port}에 연결하세요. 쓴 내용은 이미지에 ` +
      '그대로 저장됩니다.',
    authorOfReadOnly: '디스크에 내용을 채우려면: 멈췄다가 --read-only 대신 --author local을 붙여 다시 시작하세요.',
    ends: '이 창을 닫거나 Ctrl+C를 누르면 공유가 끝납니다. 접속한 사람들이 쓴 내용은 다음에 시작할 때까지 보관됩니다.',
    autostart: 'PC를 켤 때 자동으로 시작하려면',
    autostartWindows: 'PC를 켤 때 자동으로 시작하려면: PowerShell을 "관리자 권한으로 실행"한 창에 붙여 넣으세요'
  },
  doctor: {
    states: { ok: '정상', problem: '조치', unknown: '?' },
    checks: {
      port: '포트',
      firewall: '방화벽',
      'network-profile': '네트워크 프로필',
      'fixed-address': '고정 주소',
      sleep: '절전',
      'free-space': '남은 공간',
      'state-file-system': '파일 시스템',
      clock: '시계',
      antivirus: '백신'
    },
    portFree: (port, address) => `포트 ${port}이(가) 비어 있고, 이 PC에서 ${address}(으)로 접속됩니다.`,
    portTaken: (port) => `포트 ${port}을(를) 이미 쓰고 있습니다. Cloud-x가 실행 중이면 정상입니다. 누가 쓰는지 확인:`,
    portForbidden: (port) => `이 사용자는 포트 ${port}을(를) 열 수 없습니다. 다른 포트로 시작하세요:`,
    addressMissing: (address) => `${address}은(는) 이 PC의 주소가 아닙니다. 모든 주소에서 받으려면:`,
    portUnreachable: (address, port) =>
      `이 PC에서 자기 주소 ${address}의 포트 ${port}에 접속되지 않습니다. 방화벽이나 VPN이 막고 있습니다. 경로 확인:`,
    noNetwork: '네트워크에 연결되어 있지 않아 아무도 접속할 수 없습니다. 네트워크 어댑터 확인:',
    firewallOff: '켜져 있는 방화벽이 없습니다.',
    firewallLets: (port) => `방화벽이 포트 ${port} 접속을 허용합니다.`,
    firewallBlocks: (port) => `방화벽이 포트 ${port} 접속을 막고 있습니다. 허용하려면:`,
    firewallUnknown: '권한이 없어 방화벽이 접속을 허용하는지 알 수 없습니다. 접속이 안 되면:',
    profilePrivate: '네트워크가 개인 네트워크로 설정되어 있습니다.',
    profilePublic: (name) => `"${name}" 네트워크가 공용으로 설정되어 이 PC가 숨겨집니다. 개인 네트워크로 바꾸려면:`,
    profileNone: '이 시스템에는 네트워크 프로필이 없습니다.',
    profileUnknown: '네트워크 프로필을 알아내지 못했습니다. 직접 확인:',
    addressFixed: (address) => `${address}은(는) 고정 주소입니다.`,
    addressLent: (address) =>
      `${address}은(는) 공유기가 빌려준 주소(DHCP)라서 바뀔 수 있습니다. 공유기에서 예약하거나 직접 고정하세요:`,
    addressUnknown: (address) => `${address}이(가) 고정 주소인지 알아내지 못했습니다. 직접 확인:`,
    sleepNever: '이 PC는 저절로 절전 상태가 되지 않습니다.',
    sleepOn: '쓰지 않으면 PC가 절전 상태가 되고 모든 디스크가 멈춥니다. 절전을 끄려면:',
    sleepUnknown: '절전 설정을 알아내지 못했습니다. 절전을 끄려면:',
    spaceEnough: (free) => `접속한 PC들이 쓸 공간이 ${free} 남아 있습니다.`,
    spaceShort: (free, needed) =>
      `${free} 남았습니다. ${needed}보다 적으면 새로 쓸 수 없습니다. 다른 드라이브에 저장하려면:`,
    spaceUnknown: '남은 공간을 알아내지 못했습니다. 직접 확인:',
    placeGood: (type) => `상태 폴더가 이 PC의 드라이브(${type})에 있습니다.`,
    placeUnknown: (path) => `${path}이(가) 어떤 드라이브에 있는지 알아내지 못했습니다. 직접 확인:`,
    clockRight: '시계가 시간 서버와 맞춰져 있습니다.',
    clockWrong: '시계가 틀립니다. 맞추려면:',
    clockAlone: '시계를 시간 서버와 맞추지 않고 있습니다. 맞추려면:',
    clockUnknown: '시계를 시간 서버와 맞추는지 알아내지 못했습니다. 시계가 틀리면:',
    antivirusNone: '파일을 실시간으로 검사하는 프로그램이 없습니다.',
    antivirusHint: (names) =>
      `${names}이(가) 이미지를 쓸 때마다 검사할 수 있습니다. V3, 알약 같은 백신은 환경 설정의 검사 예외에 폴더를 추가하세요. ` +
      '디스크가 느리면, Microsoft Defender에서는:',
    antivirusUnknown: '실행 중인 백신을 알아내지 못했습니다. 디스크가 느리면, Microsoft Defender에서는:',
    problems: (count) => `조치할 것이 ${count}개 있습니다.`,
    allWell: '조치할 것이 없습니다.'
  }
}
