"""What the handler of a signal may do while its thread forks."""

from conftest import in_a_process


def test_a_signals_handler_that_forks_during_a_fork_leaves_sigterm_as_it_was():
    code = """
import os, signal, threading, warnings
from gangplank._native.kernels import loading
from gangplank.publishing import process_end
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

def blocked():
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])

def load():
    with loading._lock:
        is_loading.set()
        is_handling.wait(60)

class Run:
    fail = wait = lambda self: None

process_end.expect(Run())
is_loading, is_handling = threading.Event(), threading.Event()
threading.Thread(target=load).start()
is_loading.wait()
forked = []

def handle(*_):
    is_handling.set()
    forked.append(os.fork())
    if not forked[0]:
        os._exit(0)

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.3)
child = os.fork()  # waits for who loads, until the signal comes
if not child:
    os._exit(bool(blocked()))
print(*(os.waitpid(each, 0)[1] for each in (*forked, child)), blocked())
"""
    result = in_a_process(code)
    assert (result.stdout, result.stderr) == ("0 0 set()\n", "")


def test_a_signals_handler_that_raises_during_a_fork_leaves_sigterm_as_it_was():
    code = """
import os, signal, sys
from gangplank.publishing import process_end

class Run:
    fail = wait = lambda self: None

def blocked(how, signals):
    before = real(how, signals)
    if signals == [signal.SIGTERM]:
        raise KeyboardInterrupt  # as the handler of another signal may
    return before

process_end.expect(Run())
sys.unraisablehook = lambda told: print(told.exc_type.__name__, flush=True)
real, signal.pthread_sigmask = signal.pthread_sigmask, blocked
child = os.fork()
if not child:
    os._exit(bool(real(signal.SIG_BLOCK, [])))
print(os.waitpid(child, 0)[1], real(signal.SIG_BLOCK, []))
"""
    result = in_a_process(code)
    assert (result.stdout, result.stderr) == ("KeyboardInterrupt\n0 set()\n", "")
