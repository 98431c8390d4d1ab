import type { Text } from './text.js'

export const ko: Text = {
  secret: {
    made: (path) => `${path} 파일에 16자짜리 새 암호를 저장했습니다. 본인만 읽을 수 있습니다.`,
    use: '이 암호로 서버를 시작하려면:',
    clients: '디스크를 쓸 사람에게 사용자 이름 pc와 이 파일의 내용을 알려 주세요. 둘 다 대소문자를 구분합니다.',
    windowsAccess: '이 PC의 다른 사용자가 읽지 못하게 하려면(PowerShell):',
    exists: (path) => `${path} 파일이 이미 있어 그대로 두었습니다. 다른 이름을 지정하거나 먼저 지우세요.`
  }
}
