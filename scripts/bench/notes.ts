/** What the numbers do not say themselves: part of docs/performance.md, kept beside the bench that makes it. */
export const NOTES = `## How to repeat it

\`\`\`sh
npm run bench                                   # all rows, a quarter of an hour; keeps docs/performance.json
npm run bench -- --rows read-4k,write-4k        # some of them; --list names all
npm run bench -- --quick                        # does everything run? Keeps nothing
npm run bench -- --micro                        # the parts, without any server
npm run bench -- --floor                        # beside a server that does nothing but read, see below
npm run bench -- --growth --document            # cost of growth, and this page
npm run bench -- --restore --compare --document # restores beside others (root, xfsprogs, btrfs-progs), and this page
npm run bench -- --no-run --document            # this page and its plot, from the JSON
\`\`\`

On a machine that does other work too, give the bench a session with weight of its own, or both targets are measured while they
wait: \`setsid -w sh -c 'echo -15 > /proc/$$/autogroup; exec npm run bench'\` (as root). Nothing here is part of the tests.

## What the rows mean

- *First touch* means that no block was written before: each takes a slot, pages of the page cache that are new to the file, and a
  record of the journal. tgtd has no such thing; its rows write into an image that is all there. *Overwrite* writes again what
  the session has written before. In both, our server brings what was written to the disk once a second
  (\`--flush-interval\`, 1 s); tgtd leaves that to the kernel, which begins long after such a run has ended.
- *Cold* begins with an image that has just been dropped from the page cache, ours and tgtd's alike.
- *Throttled writer*: the kernel is allowed 64 MiB of dirty pages, so a session that writes as fast as it can waits for the disk.
  A row that needs root is left out for others.

## Where a goal is missed, and why

What one operation costs at least is what the kernel does for it: on a quiet machine of this kind a plain C server that answers
64 KiB reads from memory needs 9 to 14 µs, and reading 64 KiB from the page cache 8 more; tgtd needs 48. So at 64 KiB a ratio of
0.4 is the floor and 0.5 leaves 5 µs for everything else. At 256 KiB and beyond both targets do little but copy.

- **Whose machine it is.** A target that does its work in one thread is hit harder by other programs than one with 16 threads,
  among which the scheduler shares. Where both processors are kept busy by others (see the last line below the table), rates
  swing by a factor of two; the CPU for each operation is the steadier column, and the ratio of it the one to compare.
- **Writes, first touch.** What they cost most is not the target's: pages that are new to the slot file. Where a host takes back memory
  that its machine does not use, each has to be asked for again. A loop of \`pwrite\` of 256 KiB into a new file, CPU µs for each
  call: 300, and 100 when 5 GB have been written to memory and freed right before (850 MB/s, and 2 GB/s); the same with a flush in
  each second or without. For the server, one run of 5 rounds of 1 s with such memory: 64 KiB 2.5 times tgtd's rate at 0.36 of its CPU,
  256 KiB 3.1 and 0.33, 1 MiB 2.5 and 0.36; with \`--flush-interval 0\` 2.1, 2.9 and 2.8. So the bench writes and frees memory first,
  6 GiB, since the host begins to take it back at once: with 3 GiB and a little more time before the run 64 KiB, 256 KiB and 1 MiB had 1.2, 0.6 and
  0.9 of tgtd's rate, with 6 GiB 1.5, 1.7 and 2.3, a quarter of an hour later, and with none at
  all, half an hour later again, 1.9, 1.7 and 1.3: it depends on what the host is short of.
- **The flush.** While the file system gives blocks to what is being flushed, whoever writes to new places of the same file
  waits (\`ext4_da_get_block_prep\`, 100 to 300 ms at worst for one write in the loop above): that is the 99th percentile of these rows. Tried
  with the loop: two files by turns, so that nobody writes into the one that is being flushed, 5 to 30 ms at worst, four files 3 to
  50 ms, at the same rate. Not done yet: slots in several files are another format. Tried with the server: writes through
  the pool while much is being flushed (64 KiB 62 µs instead of 48), flushing every 50 and 100 ms (no gain). The interval stays: it
  bounds what a power cut takes from a client that never flushes.
- **Garbage.** Memory outside V8's heap that is made anew starts full collections: a receive ring for each PDU in two parts and a
  buffer for each write in the pool meant 14 of them in each second of 64 KiB writes. Both are used again now: 76 → 52 µs.
- **Writes of 256 KiB and more, first touch.** System calls of one turn at 256 KiB: one read of the socket for three writes, one
  \`pwrite\` for each, one record of 24 bytes for all, one answer; no data is copied in the program. What is left is the kernel's
  work for pages that are new to the slot file: of the samples of the server 51 % are in \`pwrite\`, 43 % in the copy into the
  new page (\`copy_folio_from_iter_atomic\`), where this virtual machine, which gives free memory back to its host, takes a page
  fault of the host as well; the file system has 8 %, receiving the data 4 %. A loop of \`pwrite\` alone shows it, CPU µs for each
  call, on a busy and on a less busy machine:

  |                                         | 4 KiB | 64 KiB | 256 KiB | 1 MiB |
  | --------------------------------------- | ----- | ------ | ------- | ----- |
  | into a new file, busy                   | 5.0   | 143    | 97      | 456   |
  | into a new file                         | 5.0   | 18     | 67      | 484   |
  | into a file that was cut to nothing     | 4.3   | 17     | 59      | 247   |
  | into the same file, a second time       | 2.2   | 8.6    | 28      | 112   |

  tgtd writes into an image whose pages are all there, which is the last line; the overwrite rows compare like with like. So at
  256 KiB a first touch costs 30 µs more than an overwrite at best, a quarter of what tgtd needs in all, and 1 MiB 130 to 370.
  Tried: one receive ring of 1 MiB for all connections (1.0 → 2.3 times the rate at 64 KiB), reads of the socket that end where a
  PDU ends, and a rule for slow writes that a busy processor does not fool. Not done: to keep the slot file of a dropped delta
  for the next one. It would make a first touch an overwrite, but only where a delta is deleted at once (\`--undo 0\`; after an hour
  in the bin its pages are gone too), the kernel would write to the disk what nobody wants any more, and what one session has
  dropped would lie in the file of the next.
- **Reads of 64 KiB and more** read each batch from the page cache into a buffer and send it from there. Tried, CPU µs for each
  read of 64 KiB in the same run: a buffer that is used again as soon as the kernel has taken its bytes, and so is still in the
  processor's cache, 52 → 34 (256 KiB: 251 → 167); sending at 128 KiB or 64 KiB instead of a whole batch, 56 and 70.
  And batches of 832 KiB instead of 320 KiB, so that not much of what a client asked for at once leaves alone and wakes it for
  itself; with 2 MiB, which holds all of it, client and target take turns. Each of these was measured beside 2 MiB in five sets of
  fresh servers, 832 KiB: 1.23 to 1.37 times the rate at 64 KiB, 1.05 to 1.33 at 256 KiB, 0.96 to 1.13 at 1 MiB; 384 KiB 0.97,
  0.83 and 0.75 in one set, 576 KiB 0.97, 1.06 and 1.01, 1088 KiB 0.99, 1.04 and 0.84, and 704 KiB in four 1.16 to 1.43, 0.91 to 1.27
  and 0.78 to 0.99.
- **Depth 1, and depth 4 × 16 sessions.** What the least takes that a server in Node can do shows \`npm run bench -- --floor\`: a
  server that grants every login and answers READ(10) with one read of the socket, one of the file and one write, and checks
  nothing, no window, no access, no bounds, no delta (\`scripts/bench/minimal.ts\`, 150 lines). Five rounds, by turns:

  |                              | tgtd µs | this server | ÷ tgtd | nothing but reads | ÷ tgtd | goal |
  | ---------------------------- | ------- | ----------- | ------ | ----------------- | ------ | ---- |
  | 4 KiB, depth 32              | 45.4    | 6.5         | 0.15   | 4.9               | 0.11   | 0.25 |
  | 4 KiB, depth 1               | 49.8    | 38.2        | 0.70   | 27.5              | 0.57   | 0.6  |
  | 4 KiB, depth 4 × 16 sessions | 38.0    | 12.1        | 0.31   | 8.6               | 0.22   | 0.25 |

  In another such run the second row was 0.69 and 0.53, the third 0.30 and 0.18. So of the goals Node itself takes nine tenths. At
  depth 1 both spend some 24 µs in the kernel, to wake up and to send; then Node's own code takes 6 to 9, and this server's JavaScript 4.6
  instead of 1. Where the host of a virtual machine has turned polling off, both need 90 to 110 µs, nearly all of it for waking up.
  In 16 sessions a turn is what one connection has sent, four commands at most, so a read and a write of the socket are shared by
  four instead of by 32; the kernel takes 6.4 µs of a command, Node 1.9, the JavaScript 2.8. All of that is compiled and optimized,
  spread over a dozen functions of 2 to 4 KiB, none with more than an eighth of it.
  What helped, JavaScript of a turn of four reads on 16 sessions with cold caches, at best of many runs: 4.9 µs at first; one byte
  instead of an object for a region whose reads are quick 4.4; words instead of bytes in headers 4.1. A quarter of what is left
  are the three readings of the clock, of 85 ns each on this machine: they tell a cold page from a cached one.
  The same loop takes twice as long whenever somebody else uses the other half of the processor's core, the load generator for one.
  Tried without gain: less inlining (a quarter dearer at depth 1), more inlining, no loop peeling, a young generation of 1 MiB and of 64 MiB, one
  thread for all of V8, \`--use-largepages\`.
  Fairness was 0.76 to 0.84 on a quiet machine, since the kernel tells in an order that hardly changes who has
  sent something, and whoever is last in it misses rounds; now every 17th read in a crowd lets the others go first: 0.97 to 0.99.
- **Cold reads.** A cold read goes through the thread pool, because Node has no other way to wait for a file: two hops between
  threads, of 10 to 20 µs each on a virtual machine; 36 % of the samples are the kernel changing threads. tgtd has the same
  hops for every read, hot or cold, so here it loses nothing. Tried: the first rule, by time alone (11 times tgtd's 99th
  percentile for a hot session beside it), regions (1.7 to 3 times), reads of the base without promises, the first access of a
  region through the pool (0.8 times tgtd's percentile), buffers and requests that are used again (0.73 → 0.84 of tgtd's rate on a
  busy machine), and the number of threads, of which the reads of one client have half: 16 threads 0.69 to 0.72 of tgtd's rate, 24
  0.64, 32 0.88, 48 0.89 to 0.95, 64 0.87, and the 99th percentile of a hot session beside it 1.08, –, 1.01, 2.09 and 1.87: so
  32, of which a client that reads beside others has 8 (percentile 0.63 → 0.39 of tgtd's in one run of seven rounds; 1.37 in the one
  of another, so this row swings by more than its goal). What is
  left is the price of a hop: 40 µs of the main thread for a cold read, 8 for one that is there. \`preadv2(RWF_NOWAIT)\` would tell a cold page exactly, but needs a
  native module.
- **A hot session beside a writer.** Both are served by one thread. Tried, 99th percentile of the hot session ÷ tgtd's: turns of a
  writer of 1 MiB 7.7, of 256 KiB 1.2, of 128 KiB 0.6, of 64 KiB 0.6 with fewer writes; and to ask the kernel whether it holds
  writers back, so that they wait in the pool.

## A warm start

\`npm run bench -- --cold-start\` (as root, with qemu-storage-daemon, ntfs-3g and ntfsls): from the login of the first client behind
a start of the server to the end of its first listing of all directories, with sizes and dates, of an NTFS of 4 GiB with 60,000
files that is not in the page cache. The client is QEMU, which shows the disk as a file, and ntfsls, which reads it. Rounds of the
three ways follow each other; the ratio is the median of the rounds.

| 5 rounds                                | login ms | listing s | both ÷ without |
| --------------------------------------- | -------- | --------- | -------------- |
| cold, \`--warm-up 0\`                   | 453      | 18.8      | 1              |
| with a warm-up, client at once          | 173      | 11.0      | 0.47           |
| with a warm-up, client when it has ended | 188      | 5.3       | 0.30           |

Other programs kept both processors busy, so single runs lie between a half and two and a half times these values (15 to 31 s
without, 4 to 13 s behind a warm-up): only the order and the rough size of the ratios are to be relied on. The disk is a virtual
one that has no head to move; one that turns was not measured.

## Workers

\`npm run bench -- --workers\`: 4 KiB random reads, depth 4 × 16 sessions, on a server of one process and on one of two workers, by
turns, medians of 5 pairs. Nobody else on two processors: 72,100 a second and 12.5 µs of CPU each with one process, 101,800 and
12.6 µs with two, the load generator on the same processors. Both kept busy by others (17 programs ready to run on average): 29,300
and 16 µs with one, 7,100 and 35 µs with two. So where there is no processor to spare two workers lose: each wakes up for
less, and waits for its turn. \`--workers\` is 1 unless somebody says otherwise.
`

/** Behind the tables of growth. */
export const GROWTH_NOTES = `Neither the size of the image nor that of the delta nor the number of sessions shows beyond the noise of a run, some 2 µs. To be known:

- *A first touch scattered over the image* adds a leaf of the map (4 KiB, filled with zeroes) for nearly each write once the image is
  larger than 4 GiB or so; the leaf counts against the client's limit, and \`cloudx delta show\` tells the memory. File systems do not
  write like that.
- *A delta that was written at random*: neighbours stay together ([decision 26](decisions/0026-neighbours-stay-together.md)). Where
  half of the chunks are written, base and delta take turns, and each turn is a system call of its own or up to 8 KiB read twice: the
  rows of one half lie at the goal, 1.1 to 1.7 in five runs. Tried: to read over gaps of 12 and 16 KiB instead of 8, 1.48 and 1.53 at
  64 KiB, 1.55 and 1.61 at 1 MiB, so no gain.
  Pages that the page cache took in one by one are a tenth to a third dearer to read than those that came as 64 KiB; that is in both columns.`

/** Behind the table of restores. */
export const RESTORE_NOTES = `More than 1 GiB is measured for this server alone: its slot file is holes then, and no other way could do without writing them.
What was written is on the medium before the logout, theirs and ours. tgtd reads
no qcow2, so that row is the making and deleting of the file and of a target, and no client could use it. LVM and dm-snapshot need the
device mapper, which the kernel that this was measured on is built without (\`CONFIG_MD\` is not set, there is no \`/dev/mapper/control\`).`

/** What many clients cost. */
export const STORM_NOTES = `## Many clients

\`npm run bench -- --storm\`, as measured on a busy machine (load 14):

| what | measured | goal |
| --- | --- | --- |
| 200 connected idle clients, memory in all | 15 MiB | at most 100 MiB |
| 100 clients read the same GiB of an image that is not in the page cache: read from the disk ÷ distinct bytes | 1.000 | at most 1.05 |
| 100 clients read the same 128 MiB behind \`--cache 1GiB\`: asked of the base ÷ distinct bytes | 1.000 | at most 1.05 |
| 100 clients, each begun 20 ms behind the last, on a driver that holds each read back: the same | 1.000 | at most 1.05 |
| a map of an empty ext4 of 64 GiB: bytes for 4 KiB written, and for a MiB of the image | 6.0 and 1.0 | at most 8 and 1 |
| UNMAP of all that is free on an empty ext4 of 1 TiB: memory, journal | 0 and 192 KiB | at most 1 MiB |
| the same with \`/usr/share/doc\` in it, every second file removed | 256 and 249 KiB | at most 1 MiB |
| the same of an empty NTFS | 16 and 24 KiB | at most 1 MiB |

The first change of a disk of 1 TiB makes the directory of its map, 1 MiB, which is in the 1 byte for each MiB and not in the UNMAP.
What is scattered over a disk costs at most a leaf of 4 KiB for each chunk of 4 KiB: it counts against \`--delta-limit\`, and \`cloudx
delta show\` and \`cloudx status\` tell it.`
