//! Programs in hosts, with this program's own streams.
//!
//! A program whose input is a terminal gets one of its own, a pseudo-terminal in a session of its own, so that job
//! control, interrupts and full-screen programs work; bytes are relayed both ways. Without a terminal the streams are
//! handed over as they are, and interrupts are forwarded.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use heddle_instance::sys::{set_terminal_size, terminal_size};
use heddle_lab::client::{Interrupter, Lab, Running, Signaller};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::{self, SetArg, Termios};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind};

/// Milliseconds between two looks at the terminal's size.
const SIZE_EVERY_MS: u16 = 250;

/// Runs a program in a host and returns its exit code.
pub fn exec(lab: &Lab, host: &str, argv: &[String]) -> Result<i32> {
    if io::stdin().is_terminal() {
        return on_terminal(lab, host, argv);
    }
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let program = lab.exec(host, argv, [input.as_fd(), output.as_fd(), error.as_fd()])?;
    Ok(while_running(Foreground::Program(program.signaller()?), || program.wait())?)
}

/// The user's terminal, passing every key on; as it was, once the value goes.
struct Raw(Termios);

impl Raw {
    fn new() -> nix::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

fn on_terminal(lab: &Lab, host: &str, argv: &[String]) -> Result<i32> {
    let OpenptyResult { master, slave } = openpty(terminal_size(io::stdin().as_fd()).as_ref(), None)?;
    let (output, error) = (io::stdout(), io::stderr());
    // A stream that is redirected stays so.
    let output_fd = if output.is_terminal() { slave.as_fd() } else { output.as_fd() };
    let error_fd = if error.is_terminal() { slave.as_fd() } else { error.as_fd() };
    let program = lab.exec(host, argv, [slave.as_fd(), output_fd, error_fd])?;
    drop(slave);
    let (ended, end) = io::pipe()?;
    let raw = Raw::new()?;
    let code = std::thread::scope(|scope| {
        let code = scope.spawn(|| wait(program, end));
        let relayed = relay(master, ended.as_fd());
        let code = code.join().unwrap_or_else(|_| Ok(1));
        relayed?;
        code
    });
    drop(raw);
    code
}

/// Waits for the program; dropping `end` tells the relay.
fn wait(program: Running, end: io::PipeWriter) -> Result<i32> {
    let code = program.wait();
    drop(end);
    Ok(code?)
}

/// Carries bytes between the user's terminal and the program's until `ended`, and what the program wrote last. The
/// program's terminal is closed in the end, which hangs up what is left on it.
fn relay(master: OwnedFd, ended: BorrowedFd<'_>) -> Result<()> {
    let stdin = io::stdin();
    let mut terminal = std::fs::File::from(master.try_clone()?);
    let mut size = terminal_size(stdin.as_fd());
    let mut buffer = [0; 16 * 1024];
    loop {
        let mut wanted = [stdin.as_fd(), master.as_fd(), ended].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut wanted, PollTimeout::from(SIZE_EVERY_MS)) {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let [keys, shown, ended] = wanted.map(|one| one.any().unwrap_or(false));
        if shown {
            // The kernel reports an error once no program has the terminal any more.
            let count = terminal.read(&mut buffer).unwrap_or(0);
            let mut out = io::stdout();
            out.write_all(&buffer[..count])?;
            out.flush()?;
            if count == 0 && ended {
                return Ok(());
            }
        } else if ended {
            return Ok(());
        }
        if keys && !ended {
            let count = nix::unistd::read(&stdin, &mut buffer)?;
            terminal.write_all(&buffer[..count])?;
        }
        let now = terminal_size(stdin.as_fd());
        if let Some(changed) = now.filter(|_| now != size) {
            set_terminal_size(master.as_fd(), changed)?;
            size = now;
        }
    }
}

/// What an interrupt from the keyboard is for.
pub enum Foreground {
    /// A program in a host, which gets it.
    Program(Signaller),
    /// A question to the lab, which is given up.
    Question(Interrupter),
    /// A child of ours, which gets it from the terminal as we do.
    Child,
}

/// How long after its child an interrupt may be heard of here; a child may also end so without one.
const LATEST_INTERRUPT: Duration = Duration::from_secs(5);

/// What runs, if anything does, and whether it was interrupted.
#[derive(Default)]
struct Interrupts {
    foreground: Option<Foreground>,
    /// Whether an interrupt leaves this program alone even while nothing runs, such as the second of two.
    kept: bool,
    happened: bool,
}

/// Runs something that interrupts are for; they leave this program alone meanwhile.
pub fn while_running<T>(foreground: Foreground, work: impl FnOnce() -> T) -> T {
    interrupts().foreground = Some(foreground);
    let result = work();
    interrupts().foreground = None;
    result
}

/// Whether an interrupt came since [`keep_interrupts`].
pub fn interrupted() -> bool {
    interrupts().happened
}

/// Waits until an interrupt that ended a child is known here too: heard of later, it would end the next line.
pub fn await_interrupt() {
    let begun = Instant::now();
    while !interrupted() && begun.elapsed() < LATEST_INTERRUPT {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Forgets the interrupts that came; from now on none ends this program, which asks [`interrupted`].
pub fn keep_interrupts() {
    let mut interrupts = interrupts();
    interrupts.happened = false;
    interrupts.kept = true;
}

/// From now on an interrupt ends this program again.
pub fn let_interrupts_end_us() {
    interrupts().kept = false;
}

fn interrupts() -> MutexGuard<'static, Interrupts> {
    static INTERRUPTS: OnceLock<Arc<Mutex<Interrupts>>> = OnceLock::new();
    let interrupts = INTERRUPTS.get_or_init(|| {
        let shared: Arc<Mutex<Interrupts>> = Arc::default();
        // Here and not in the thread: what comes before it runs is for us, too.
        if let Ok((runtime, stream)) = listen() {
            let forwarded = Arc::clone(&shared);
            std::thread::spawn(move || runtime.block_on(forward(stream, &forwarded)));
        }
        shared
    });
    interrupts.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen() -> io::Result<(Runtime, Signal)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let stream = tokio::signal::unix::signal(SignalKind::interrupt())?;
    drop(entered);
    Ok((runtime, stream))
}

/// Hands interrupts to what runs; while nothing does, an interrupt ends this program unless they are kept.
async fn forward(mut stream: Signal, to: &Mutex<Interrupts>) {
    while stream.recv().await.is_some() {
        let mut interrupts = to.lock().unwrap_or_else(PoisonError::into_inner);
        match &interrupts.foreground {
            Some(Foreground::Program(signaller)) => drop(signaller.send(nix::libc::SIGINT)),
            Some(Foreground::Question(interrupter)) => interrupter.interrupt(),
            Some(Foreground::Child) => {}
            None if interrupts.kept => {}
            None => std::process::exit(128 + nix::libc::SIGINT),
        }
        interrupts.happened = true;
    }
}
