import { expect, it } from '@jest/globals'
import { stateBeside } from '../../lib/target/state-place.js'

it('puts the state of an image beside it, under its whole name', () => {
  expect(stateBeside('/srv/share.img')).toBe('/srv/share.img.cloudx')
})
