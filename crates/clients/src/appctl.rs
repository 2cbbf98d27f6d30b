//! `appctl`: asks a daemon to run a command, and prints what it answered.

use std::io::Write;
use std::path::PathBuf;

use crate::fatal::{Fatal, fail, reason};
use crate::log::{self, Level};
use crate::options::{self, Opt, Order, Takes, opt};
use crate::unixctl::{Answer, Connection};
use crate::{json, place, timeout};

const OWN: &[Opt] = &[
    opt("target", 't', Takes::Value),
    opt("execute", 'e', Takes::Nothing),
    opt("timeout", 'T', Takes::Value),
    opt("format", 'f', Takes::Value),
    opt("pretty", ' ', Takes::Nothing),
];
const TABLES: &[&[Opt]] = &[OWN, options::COMMON, options::LOG];

const HELP: &str = "\
ovs-appctl, for asking a running daemon
usage: ovs-appctl [TARGET] COMMAND [ARG...]

Targets:
  -t, --target=TARGET  pidfile or socket of the daemon (default: ovs-vswitchd)
Common commands:
  list-commands      the commands that the daemon has
  version            its version
  vlog/list          levels of its log
  vlog/set [SPEC]    set them: MODULE:DESTINATION:LEVEL, each optional
  vlog/reopen        open its log file anew
Other options:
  -T, --timeout=SECS   give up after so many seconds
  -f, --format=FORMAT  text (default) or json
  --pretty             indent JSON
  -h, --help           this text
  -V, --version        our version
";

/// Runs the client.
///
/// # Errors
/// What the operator is told.
pub fn run(words: &[String], out: &mut dyn Write) -> Result<u8, Fatal> {
    let (given, words) = options::parse(words, TABLES, Order::Leading)?;
    let (mut target, mut seconds) = ("ovs-vswitchd".to_owned(), None);
    let (mut as_json, mut pretty) = (false, false);
    for given in given {
        match given.name.as_str() {
            "target" => given.text().clone_into(&mut target),
            // From the days when a target had to be given first.
            "execute" => {
                return fail("-e or --execute is obsolete; give the command as it is (use --help for help)");
            }
            "timeout" => seconds = Some(timeout::parse("-T or --timeout", given.text())?),
            "format" => match given.text() {
                "json" => as_json = true,
                "text" => as_json = false,
                other => return fail(format!("value {other} on -f or --format is invalid")),
            },
            "pretty" => pretty = true,
            "help" => {
                write!(out, "{HELP}")?;
                return Ok(0);
            }
            "version" => {
                out.write_all(crate::version("ovs-appctl").as_bytes())?;
                return Ok(0);
            }
            "option" => {
                write!(out, "{}", options::print(TABLES))?;
                return Ok(0);
            }
            _ => {
                log::take_option(&given)?;
            }
        }
    }
    let Some((command, arguments)) = words.split_first() else {
        return fail("at least one non-option argument is required (use --help for help)");
    };
    if pretty && !as_json {
        return fail("--pretty is supported with --format json only");
    }
    timeout::arm(seconds);
    let mut connection = connect(&target)?;
    let ask = |connection: &mut Connection, command: &str, arguments: &[String]| {
        connection
            .ask(command, arguments)
            .map_err(|error| Fatal::new(format!("{target}: transaction error ({})", reason(&error))))
    };
    if as_json {
        // The form of answers is a property of the connection.
        let words = ["--format".to_owned(), "json".to_owned()];
        if let Answer::Error(text) = ask(&mut connection, "set-options", &words)? {
            return refused(&target, &text);
        }
    }
    match ask(&mut connection, command, arguments)? {
        Answer::Error(text) => refused(&target, &text),
        Answer::Result(value) if as_json => {
            let text = if pretty { json::pretty(&value) } else { json::compact(&value) };
            writeln!(out, "{text}")?;
            Ok(0)
        }
        Answer::Result(value) => {
            let text = value.as_str().unwrap_or_default();
            write!(out, "{text}{}", newline(text))?;
            Ok(0)
        }
    }
}

/// What ends text that does not end its line.
fn newline(text: &str) -> &'static str {
    if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }
}

fn refused(target: &str, text: &str) -> Result<u8, Fatal> {
    eprint!("{text}{}", newline(text));
    Err(Fatal::coded(2, format!("{target}: server returned an error")))
}

/// Calls a daemon by the path of its socket, or by a name whose pid file says which process it is.
fn connect(target: &str) -> Result<Connection, Fatal> {
    let socket = if target.starts_with('/') { PathBuf::from(target) } else { socket_of(target)? };
    Connection::open(&socket).map_err(|error| {
        let path = socket.display();
        log::write("unixctl", Level::Warn, &format!("failed to connect to {path}"));
        Fatal::system(format!("cannot connect to \"{path}\""), &error)
    })
}

fn socket_of(name: &str) -> Result<PathBuf, Fatal> {
    let directory = place::run_directory();
    let pidfile = directory.join(format!("{name}.pid"));
    let refuse = |error: &str| fail(format!("cannot read pidfile \"{}\" ({error})", pidfile.display()));
    let text = match std::fs::read_to_string(&pidfile) {
        Ok(text) => text,
        Err(error) => {
            let (path, error) = (pidfile.display(), reason(&error));
            log::write("daemon_unix", Level::Warn, &format!("{path}: open: {error}"));
            return refuse(&error);
        }
    };
    // A daemon holds a lock on its pid file; one whose process has gone is left over.
    match text.trim().parse::<i32>() {
        Ok(number @ 1..) if process_is_there(number) => Ok(directory.join(format!("{name}.{number}.ctl"))),
        _ => refuse("No such process"),
    }
}

fn process_is_there(number: i32) -> bool {
    let asked = nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), None);
    !matches!(asked, Err(nix::errno::Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    /// A daemon that answers one client with these texts, and returns what it was sent.
    fn daemon(name: &str, answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<String>) {
        let path = std::env::temp_dir().join(format!("heddle-appctl-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let socket = path.display().to_string();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = String::new();
            for answer in answers {
                let mut piece = [0; 4096];
                let count = stream.read(&mut piece).unwrap();
                heard += std::str::from_utf8(&piece[..count]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
            std::fs::remove_file(path).unwrap();
            heard
        });
        (socket, thread)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_command_is_sent_and_its_text_printed() {
        let (socket, thread) = daemon("text", &[r#"{"id":0,"result":"table=0","error":null}"#]);
        let mut out = Vec::new();
        assert_eq!(run(&words(&["-t", &socket, "x/y", "-z"]), &mut out), Ok(0));
        assert_eq!(out, b"table=0\n");
        assert_eq!(thread.join().unwrap(), r#"{"id":0,"method":"x/y","params":["-z"]}"#);
    }

    #[test]
    fn a_refusal_is_exit_code_two() {
        let (socket, thread) = daemon("refusal", &[r#"{"id":0,"result":null,"error":"no such bridge"}"#]);
        let fatal = run(&words(&["--target", &socket, "x"]), &mut Vec::new()).unwrap_err();
        assert_eq!((fatal.code, fatal.message), (2, format!("{socket}: server returned an error")));
        thread.join().unwrap();
    }

    #[test]
    fn json_is_asked_for_first() {
        let answers: &[&str] =
            &[r#"{"id":0,"result":null,"error":null}"#, r#"{"id":1,"result":{"a":1},"error":null}"#];
        let (socket, thread) = daemon("json", answers);
        let mut out = Vec::new();
        assert_eq!(run(&words(&["-t", &socket, "--format=json", "--pretty", "x"]), &mut out), Ok(0));
        assert_eq!(out, b"{\n  \"a\": 1}\n");
        assert!(thread.join().unwrap().contains(r#""method":"set-options","params":["--format","json"]"#));
    }

    #[test]
    fn what_ends_early_is_an_error() {
        let (socket, thread) = daemon("early", &["{"]);
        let fatal = run(&words(&["-t", &socket, "x"]), &mut Vec::new()).unwrap_err();
        assert!(fatal.message.contains("transaction error"), "{fatal}");
        thread.join().unwrap();
    }
}
