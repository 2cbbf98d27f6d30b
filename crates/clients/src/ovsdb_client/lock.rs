//! Locks (RFC 7047 sections 4.1.8 to 4.1.11).

use heddle_ovsdb::rpc::Message;
use serde_json::{Value, json};

use super::Context;
use crate::database::checked;
use crate::fatal::{Fatal, reason};
use crate::json;
use crate::unixctl::{self, Command, Server};

const COMMANDS: &[Command] = &[
    Command { name: "exit", usage: "", words: (0, 0) },
    Command { name: "lock", usage: "lock_name", words: (1, 1) },
    Command { name: "steal", usage: "lock_name", words: (1, 1) },
    Command { name: "unlock", usage: "lock_name", words: (1, 1) },
];

pub(super) fn lock(context: &mut Context<'_>) -> Result<u8, Fatal> {
    hold(context, "lock")
}

pub(super) fn steal(context: &mut Context<'_>) -> Result<u8, Fatal> {
    hold(context, "steal")
}

pub(super) fn unlock(context: &mut Context<'_>) -> Result<u8, Fatal> {
    hold(context, "unlock")
}

fn hold(context: &mut Context<'_>, method: &str) -> Result<u8, Fatal> {
    let mut control = Server::open(None, COMMANDS)?;
    let reply = context.connection.ask(method, vec![json!(context.words[0])]);
    // A refusal is for the server's log: the lock may yet be had by another command.
    if !matches!(reply, Ok(Err(_))) {
        print(context, &checked(reply)?)?;
    }
    context.settings.background.ready()?;
    let mut readable = false;
    loop {
        while let Some(message) = context
            .connection
            .receive_if_there(std::mem::take(&mut readable))
            .map_err(|error| Fatal::new(format!("{}: receive failed ({})", context.server, reason(&error))))?
        {
            match message {
                Message::Notification { method, params } => {
                    writeln!(context.out, "{method}")?;
                    print(context, &Value::from(params))?;
                }
                Message::Reply { result, error, .. } if error.is_null() => print(context, &result)?,
                _ => {}
            }
        }
        for request in control.take() {
            if request.command == "exit" {
                control.reply(&request, Ok(String::new()));
                return Ok(0);
            }
            // The reply is printed when it comes.
            let sent = context.connection.send(&request.command, vec![json!(request.words[0])]);
            control.reply(&request, sent.map(|_| String::new()).map_err(|error| reason(&error)));
        }
        let descriptors: Vec<_> = control.descriptors().chain([context.connection.descriptor()]).collect();
        readable = unixctl::wait(&descriptors, None)?.last() == Some(&true);
    }
}

fn print(context: &mut Context<'_>, value: &Value) -> Result<(), Fatal> {
    writeln!(context.out, "{}", json::compact(value))?;
    Ok(context.out.flush()?)
}
