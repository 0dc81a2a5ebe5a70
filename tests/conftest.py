"""What all tests share."""

import signal

# Started in the background by a shell, a test run ignores Ctrl-C, and so would all programs that
# the tests start to interrupt them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
