//! Instances that are only remembered: what was asked can be read back. Needs no privileges, so that
//! everything above the trait is tested anywhere. Programs run on the machine itself, without isolation.

use std::os::fd::BorrowedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Attachment, Error, Instance, InstanceProvider, Nic, Program, Remains, Wiring};

/// One thing that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An instance was made.
    Create(String),
    /// A device was attached to the instance named.
    Attach(String, Nic),
    /// A device of the instance was taken out.
    TakeOut(String, String),
    /// A device of the instance was set up or down.
    SetLink(String, String, bool),
}

/// Remembers what was asked of it and its instances.
#[derive(Clone, Debug, Default)]
pub struct DummyProvider {
    log: Arc<Mutex<Vec<Asked>>>,
}

impl DummyProvider {
    /// What was asked so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, asked: Asked) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }
}

impl InstanceProvider for DummyProvider {
    fn create(&self, name: &str) -> Result<Box<dyn Instance>, Error> {
        self.note(Asked::Create(name.to_owned()));
        Ok(Box::new(DummyInstance { name: name.to_owned(), provider: self.clone() }))
    }
}

struct DummyInstance {
    name: String,
    provider: DummyProvider,
}

impl Instance for DummyInstance {
    fn name(&self) -> &str {
        &self.name
    }

    fn netns(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn attach(&self, nic: &Nic) -> Result<Attachment, Error> {
        self.provider.note(Asked::Attach(self.name.clone(), nic.clone()));
        Ok(Attachment::Dummy)
    }

    fn take_out(&self, device: &str, _: &Wiring) -> Result<Remains, Error> {
        self.provider.note(Asked::TakeOut(self.name.clone(), device.to_owned()));
        Ok(Remains::default())
    }

    fn set_link(&self, device: &str, up: bool) -> Result<(), Error> {
        self.provider.note(Asked::SetLink(self.name.clone(), device.to_owned(), up));
        Ok(())
    }

    fn dropped(&self) -> Result<u64, Error> {
        Ok(0)
    }

    fn spawn(&self, program: Program) -> std::io::Result<Child> {
        command(program)?.spawn()
    }
}

/// The command for a program, without isolation.
pub(crate) fn command(program: Program) -> std::io::Result<Command> {
    let Some((name, arguments)) = program.argv.split_first() else {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "no program was named"));
    };
    let mut command = Command::new(name);
    command.args(arguments);
    if let Some(env) = program.env {
        command.env_clear().envs(env);
    }
    if let Some(cwd) = program.cwd {
        command.current_dir(cwd);
    }
    let [input, output, error] = program.stdio.map(|fd| fd.map_or_else(Stdio::null, Stdio::from));
    command.stdin(input).stdout(output).stderr(error);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_what_was_asked() {
        let provider = DummyProvider::default();
        let host = provider.create("h1").unwrap();
        host.set_link("h1-eth0", false).unwrap();
        assert_eq!(
            provider.asked(),
            [Asked::Create("h1".into()), Asked::SetLink("h1".into(), "h1-eth0".into(), false)]
        );
    }

    #[test]
    fn runs_a_program() {
        let host = DummyProvider::default().create("h1").unwrap();
        let mut child = host.spawn(Program { argv: vec!["true".into()], ..Program::default() }).unwrap();
        assert!(child.wait().unwrap().success());
    }
}
