import type { ImageView, JobView } from '../../target/control.js'
import { optionalCount, optionalSwitch, optionalText, optionalTexts, refuseOthers, type Route } from '../route.js'

/** `GET /v1/images`: images with their generations, and who uses which. */
export interface ImagesAnswer {
  readonly images: readonly ImageView[]
}

/** What an order about generations answers: the image as it is behind it. */
export interface ImageAnswer {
  readonly image: ImageView
}

/** `GET /v1/jobs`: long work, and how far it is. */
export interface JobsAnswer {
  readonly jobs: readonly JobView[]
}

/** What an order answers whose work goes on in the background. */
export interface JobAnswer {
  readonly job: JobView
}

export const images: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/jobs',
    async answer(_request, { control }): Promise<JobsAnswer> {
      return { jobs: await control.jobs() }
    }
  },
  {
    method: 'POST',
    path: '/v1/images/verify',
    async answer({ body }, { control }): Promise<JobAnswer> {
      refuseOthers(body, ['image', 'generation'])
      const [image, generation] = [optionalText(body, 'image'), optionalCount(body, 'generation')]
      return { job: await control.verify({ image, generation }) }
    }
  },
  {
    method: 'POST',
    path: '/v1/images/grow',
    async answer({ body }, { control }): Promise<ImageAnswer> {
      refuseOthers(body, ['image', 'sizeBytes'])
      const sizeBytes = optionalCount(body, 'sizeBytes') ?? 0
      return { image: await control.grow({ image: optionalText(body, 'image'), sizeBytes }) }
    }
  },
  {
    method: 'POST',
    path: '/v1/images/export',
    stream({ body }, { control }) {
      refuseOthers(body, ['image', 'generation', 'fromBytes', 'since'])
      return control.exportImage({
        image: optionalText(body, 'image'),
        generation: optionalCount(body, 'generation'),
        fromBytes: optionalCount(body, 'fromBytes'),
        since: optionalCount(body, 'since')
      })
    }
  },
  {
    method: 'POST',
    path: '/v1/images/flatten',
    async answer({ body }, { control }): Promise<JobAnswer> {
      refuseOthers(body, ['image', 'to'])
      return { job: await control.flatten({ image: optionalText(body, 'image'), to: optionalCount(body, 'to') }) }
    }
  },
  {
    method: 'GET',
    path: '/v1/images',
    async answer(_request, { control }): Promise<ImagesAnswer> {
      return { images: await control.images() }
    }
  },
  {
    method: 'POST',
    path: '/v1/images/publish',
    async answer({ body }, { control }): Promise<ImageAnswer> {
      refuseOthers(body, ['image', 'author', 'generation', 'note', 'test', 'force'])
      const image = await control.publish({
        image: optionalText(body, 'image'),
        author: optionalText(body, 'author'),
        generation: optionalCount(body, 'generation'),
        note: optionalText(body, 'note'),
        test: optionalTexts(body, 'test'),
        force: optionalSwitch(body, 'force')
      })
      return { image }
    }
  },
  {
    method: 'POST',
    path: '/v1/images/push',
    async answer({ body }, { control }): Promise<ImageAnswer> {
      refuseOthers(body, ['image', 'at', 'dropDeltas'])
      const image = await control.push({
        image: optionalText(body, 'image'),
        at: optionalCount(body, 'at'),
        dropDeltas: optionalSwitch(body, 'dropDeltas')
      })
      return { image }
    }
  },
  {
    method: 'POST',
    path: '/v1/images/push/cancel',
    async answer({ body }, { control }): Promise<ImageAnswer> {
      refuseOthers(body, ['image'])
      return { image: await control.cancelPush({ image: optionalText(body, 'image') }) }
    }
  },
  {
    method: 'POST',
    path: '/v1/images/rollback',
    async answer({ body }, { control }): Promise<ImageAnswer> {
      refuseOthers(body, ['image', 'to'])
      return { image: await control.rollback({ image: optionalText(body, 'image'), to: optionalCount(body, 'to') }) }
    }
  },
  {
    method: 'POST',
    path: '/v1/images/test',
    async answer({ body }, { control }): Promise<ImageAnswer> {
      refuseOthers(body, ['image', 'initiators', 'generation'])
      const image = await control.test({
        image: optionalText(body, 'image'),
        initiators: optionalTexts(body, 'initiators'),
        generation: optionalCount(body, 'generation')
      })
      return { image }
    }
  }
]
