/** What the numbers do not say themselves: part of docs/performance.md, kept beside the bench that makes it. */
export const NOTES = `## What the rows mean`
