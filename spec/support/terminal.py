"""A terminal for a spec: terminal.py PROGRAM ARGUMENT... runs the program with a pseudo-terminal as standard input,
output and error, and copies what the program prints. Lines on standard input command it:
  stop     Ctrl+S: the line discipline takes nothing more from the program
  go       Ctrl+Q
  hold     the window reads no more (text is selected)
  read     it reads again
  int      Ctrl+C
  end      SIGTERM for the program
It ends with the exit status of the program."""
import os, pty, selectors, signal, sys

pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
keys = {b'stop': b'\x13', b'go': b'\x11', b'int': b'\x03'}
selector = selectors.DefaultSelector()
selector.register(0, selectors.EVENT_READ)
selector.register(master, selectors.EVENT_READ)
pending = b''
while True:
    over = False
    for key, _ in selector.select():
        if key.fd == master:
            try:
                data = os.read(master, 65536)
            except OSError:
                data = b''
            if not data:
                over = True
            os.write(1, data)
        else:
            data = os.read(0, 4096)
            if not data:
                selector.unregister(0)
            pending += data
            while b'\n' in pending:
                line, pending = pending.split(b'\n', 1)
                if line in keys:
                    os.write(master, keys[line])
                elif line == b'hold':
                    selector.unregister(master)
                elif line == b'read':
                    selector.register(master, selectors.EVENT_READ)
                elif line == b'end':
                    os.kill(pid, signal.SIGTERM)
                os.write(2, b'@' + line + b'\n')
    if over:
        break
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
