//! What the program does where its standard output goes away.

use std::io::Read;
use std::process::{Command, Stdio};

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    for verb in [&["completions", "bash"][..], &["man"], &["lab", "list", "--json"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_heddle"))
            .args(verb)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("heddle starts");
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        let status = child.wait().expect("it ends");
        assert!(status.success() && said.is_empty(), "{verb:?}: {status}, {said}");
    }
}
