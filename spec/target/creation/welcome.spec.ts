import { describe, expect, it } from '@jest/globals'
import { welcomeFiles } from '../../../lib/target/creation/welcome.js'

describe('the texts on a new drive', () => {
  const files = welcomeFiles(1e12)

  it('are one in English and one in Korean', () => {
    expect(files.map(({ name }) => name)).toEqual(['README.txt', '읽어주세요.txt'])
    expect(files.every(({ source, lengthBytes }) => source.length === lengthBytes)).toBe(true)
  })

  it.each(files.map(({ name, source }) => [name, source] as const))(
    '%s has lines as Notepad wants them',
    (_name, source) => {
      const text = source.toString('utf8')
      expect(text).not.toMatch(/[^\r]\n/)
      expect(text.endsWith('\r\n')).toBe(true)
      expect(Buffer.from(text, 'utf8').equals(source)).toBe(true)
      expect(text.split('\r\n').filter((line) => line.length > 80)).toEqual([])
    }
  )

  it('are told from other encodings: plain ASCII, and a byte order mark before Hangul', () => {
    expect(files[0]!.source.every((byte) => byte < 0x80)).toBe(true)
    expect(files[1]!.source.subarray(0, 3).toString('hex')).toBe('efbbbf')
  })

  it('say that changes are private and go, and how the owner fills the drive', () => {
    expect(files[0]!.source.toString()).toMatch(/YOURS ALONE[\s\S]*GOES WHEN YOU DISCONNECT[\s\S]*--author local/)
    expect(files[1]!.source.toString()).toMatch(/나만의 것[\s\S]*연결을 끊으면 사라집니다[\s\S]*--author local/)
  })
})
