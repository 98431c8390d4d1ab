/** What the numbers do not say themselves: part of docs/performance.md, kept beside the bench that makes it. */
export const NOTES = `## How to repeat it

\`\`\`sh
npm run bench                                   # all rows, a quarter of an hour; keeps docs/performance.json
npm run bench -- --rows read-4k,write-4k        # some of them; --list names all
npm run bench -- --quick                        # does everything run? Keeps nothing
npm run bench -- --micro                        # the parts, without any server
npm run bench -- --no-run --document            # this page and its plot, from the JSON
\`\`\`

On a machine that does other work too, give the bench a session with weight of its own, or both targets are measured while they
wait: \`setsid -w sh -c 'echo -15 > /proc/$$/autogroup; exec npm run bench'\` (as root). Nothing here is part of the tests.

## What the rows mean

- *First touch* means that no block was written before: each takes a slot, pages of the page cache that are new to the file, and a
  record of the journal. tgtd has no such thing; its rows write into an image that is all there. *Overwrite* writes again what
  the session has written before.
- *Cold* begins with an image that has just been dropped from the page cache, ours and tgtd's alike.
- *Throttled writer*: the kernel is allowed 64 MiB of dirty pages, so a session that writes as fast as it can waits for the disk.
  A row that needs root is left out for others.

## Where a goal is missed, and why

What one operation costs at least is what the kernel does for it: on a quiet machine of this kind a plain C server that answers
64 KiB reads from memory needs 9 to 14 µs, and reading 64 KiB from the page cache 8 more; tgtd needs 48. So at 64 KiB a ratio of
0.4 is the floor and 0.5 leaves 5 µs for everything else. At 256 KiB and beyond both targets do little but copy.

- **The machine was busy.** These rows were measured while other programs kept both processors full, so rates swing by a
  factor of two and more (1 MiB reads reach their goal, 256 KiB reads miss theirs); the CPU for each operation is the steadier
  column, and the ratio of it the one to compare.
- **Writes of 64 KiB and more, first touch.** System calls of one turn at 256 KiB: one read of the socket for three writes, one
  \`pwrite\` for each, one record of 24 bytes for all, one answer; no data is copied in the program. What is left is the kernel's
  work for pages that are new to the slot file. A loop of \`pwrite\` alone shows it, CPU µs for each call on this machine, which
  gives free memory back to its host, so that a new page is often a page fault of the host as well:

  |                                  | 4 KiB | 64 KiB | 256 KiB | 1 MiB |
  | -------------------------------- | ----- | ------ | ------- | ----- |
  | into a new file                  | 5.0   | 143    | 97      | 456   |
  | into the same file, a second time | 1.8   | 10     | 29      | 111   |

  tgtd writes into an image whose pages are all there, which is the second line. The overwrite rows compare like with like.
  Tried: one receive ring of 1 MiB for all connections (1.0 → 2.3 times the rate at 64 KiB), and a rule for slow writes that a
  busy processor does not fool. Not tried: to keep the slot file of a dropped delta for the next one.
- **4 KiB, depth 4 × 16 sessions.** A turn is what one connection has sent, four commands at most, so a read and a write of the
  socket and two rounds through Node are shared by four instead of by 32: 44 % of the samples are the kernel, mostly
  its network, 40 % Node and V8 (17 of them the compiler, in a fresh server), 12 % our code. Answers of several connections cannot leave in one system call.
- **Cold reads and what runs beside them.** A cold read goes through the thread pool, because Node has no other way to wait for a
  file: two hops between threads, of 10 to 20 µs each on a virtual machine. tgtd has the same hops for every read, hot or cold, so
  here it loses nothing. Tried: the first rule, by time alone (11 times tgtd's 99th percentile for the hot session), regions
  (1.7 to 3 times), reads of the base without promises. \`preadv2(RWF_NOWAIT)\` would tell a cold page exactly, but needs a native
  module.
- **A hot session beside a writer.** Both are served by one thread, and a turn of a session that writes as fast as it can is up to
  1 MiB: a read behind it waits for 16 writes of 64 KiB. Not tried yet: shorter turns while others wait.
`
