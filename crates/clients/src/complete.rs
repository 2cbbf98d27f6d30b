//! What may come next on a command line: completions of the clients' commands, options and of what these name.
//!
//! Everything is asked of the clients themselves: their help lists commands with the names of their words (`BRIDGE
//! PORT`), and their commands list bridges, ports, tables and records of the switch that runs.

use serde_json::Value;

/// Most candidates: a shell shows no more of use.
const MOST: usize = 1000;

/// Where answers come from.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Runs a program with these words and returns what it prints; nothing if it fails.
    pub run: &'a dyn Fn(&str, &[&str]) -> String,
    /// Bridges whose sockets are in the run directory, as a lab's are, which has no database.
    pub switches: &'a dyn Fn() -> Vec<String>,
}

impl Ask<'_> {
    fn program(&self, name: &str, words: &[&str]) -> String {
        (self.run)(name, words)
    }

    fn vsctl(&self, words: &[&str]) -> Vec<String> {
        let text = self.program("ovs-vsctl", &[&["--timeout=1"], words].concat());
        lines(&text).map(str::to_owned).collect()
    }
}

/// Programs whose words are completed, by their own names and as verbs of `heddle`.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("ovs-appctl", "appctl"),
    ("ovs-ofctl", "ofctl"),
    ("ovs-vsctl", "vsctl"),
    ("ovsdb-client", "ovsdb-client"),
    ("ovsdb-tool", "ovsdb-tool"),
];

struct Command {
    name: String,
    /// Its own options, with `=` where they have an argument.
    options: Vec<String>,
    /// The names of its words.
    words: Vec<String>,
}

/// The words that may stand in place of the last one of a line, which may be empty.
#[must_use]
pub fn complete(line: &str, ask: Ask<'_>) -> Vec<String> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let current = if line.ends_with(char::is_whitespace) { "" } else { words.pop().unwrap_or_default() };
    let mut words = words.as_slice();
    if let ["heddle", rest @ ..] = words {
        words = rest;
    }
    let Some((first, mut words)) = words.split_first() else { return Vec::new() };
    let name = first.rsplit('/').next().unwrap_or_default();
    let Some((program, _)) = PROGRAMS.iter().find(|(own, verb)| *own == name || *verb == name) else {
        return Vec::new();
    };
    if *program == "ovs-vsctl"
        && let Some(at) = words.iter().rposition(|word| *word == "--")
    {
        words = &words[at + 1..];
    }
    let mut found = candidates(program, words, current, ask);
    found.retain(|word| word.starts_with(current));
    found.sort();
    found.dedup();
    found.truncate(MOST);
    found
}

fn candidates(program: &str, words: &[&str], current: &str, ask: Ask<'_>) -> Vec<String> {
    let options: Vec<String> = lines(&ask.program(program, &["--option"])).map(str::to_owned).collect();
    let (target, words) = skip_options(words, &options);
    let commands = commands(program, &target, ask);
    let Some((name, words)) = words.split_first() else {
        let names = commands.iter().map(|command| command.name.clone());
        return match current.strip_prefix('-') {
            None => names.collect(),
            Some(_) => {
                let own = commands.iter().flat_map(|command| command.options.iter().cloned());
                own.chain(options.iter().filter_map(|option| long(option))).collect()
            }
        };
    };
    let Some(command) = commands.iter().find(|command| command.name == *name) else { return Vec::new() };
    if current.starts_with('-') {
        return options.iter().filter_map(|option| long(option)).collect();
    }
    let given: Vec<&str> = words.iter().filter(|word| !word.starts_with('-')).copied().collect();
    let mut found = Vec::new();
    for at in given.len().. {
        // The last name stands for what follows it where it repeats itself.
        let Some(word) =
            command.words.get(at).or_else(|| command.words.last().filter(|it| it.contains("...")))
        else {
            break;
        };
        found.extend(named(program, word, &given, current, ask));
        // What may be left out may be what comes after it.
        if !word.starts_with('[') || at >= command.words.len() {
            break;
        }
    }
    found
}

/// A long option as it is typed; letters are left to those who know them.
fn long(option: &str) -> Option<String> {
    let (name, argument) = option.split_once('=').map_or((option.trim(), ""), |(name, _)| (name, "="));
    name.starts_with("--").then(|| format!("{name}{argument}"))
}

/// What follows the options; of these, the ones that say whom to ask.
fn skip_options<'a>(mut words: &'a [&'a str], options: &[String]) -> (Vec<&'a str>, &'a [&'a str]) {
    let mut target = Vec::new();
    while let [first, rest @ ..] = words
        && first.starts_with('-')
    {
        // `-t NAME` and `--target NAME` have their argument in the next word.
        let apart = options.iter().any(|option| match option.split_once(['=', ' ']) {
            Some((name, "ARG")) => name == *first,
            _ => false,
        });
        let size = if apart { 2.min(words.len()) } else { 1 };
        if first.starts_with("-t") || first.starts_with("--target") || first.starts_with("--db") {
            target.extend(&words[..size]);
        }
        words = if apart { rest.get(1..).unwrap_or_default() } else { rest };
    }
    (target, words)
}

/// The commands that a program lists, or the daemon that `ovs-appctl` asks.
fn commands(program: &str, target: &[&str], ask: Ask<'_>) -> Vec<Command> {
    let text = match program {
        "ovs-appctl" => ask.program(program, &[target, &["list-commands"]].concat()),
        _ => ask.program(program, &["--help"]),
    };
    let listed = text.lines().skip_while(|line| !line.starts_with("  ") || line.trim().starts_with("--"));
    let listed = listed.take_while(|line| line.starts_with("  "));
    listed
        .filter_map(|line| {
            let mut words = line.split_whitespace().peekable();
            let mut options = Vec::new();
            while let Some(option) = words.next_if(|word| word.starts_with("[--")) {
                options.extend(long(option.trim_matches(['[', ']'])));
            }
            Some(Command {
                name: words.next()?.to_owned(),
                options,
                words: words.map(str::to_owned).collect(),
            })
        })
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// What a word that has this name in the help may be.
fn named(program: &str, word: &str, given: &[&str], current: &str, ask: Ask<'_>) -> Vec<String> {
    let name = word.trim_matches(['[', ']', '.']).split([']', '|', '[']).next().unwrap_or_default();
    match (program, name.to_uppercase().as_str()) {
        ("ovs-ofctl", "SWITCH" | "SOURCE" | "TARGET") => (ask.switches)(),
        (_, "BRIDGE" | "PARENT") => ask.vsctl(&["list-br"]),
        ("ovs-ofctl", "PORT" | "IN_PORT") => {
            given.first().map_or_else(Vec::new, |it| ask.vsctl(&["list-ports", it]))
        }
        ("ovs-ofctl", "FLOW") => fields(current),
        ("ovs-ofctl", "MODE") => ["normal", "drop", "reassemble", "nx-match"].map(str::to_owned).into(),
        ("ovs-ofctl", _) | (_, "NEW-BRIDGE") => Vec::new(),
        // To add a port, the word after the bridge is new; to delete one, it is there.
        ("ovs-vsctl", "PORT")
            if given.len() == 1 && !ask.vsctl(&["list-br"]).iter().any(|it| it == given[0]) =>
        {
            Vec::new()
        }
        (_, "PORT" | "BOND") => of_bridges(given, "list-ports", ask),
        (_, "IFACE") => of_bridges(given, "list-ifaces", ask),
        ("ovs-vsctl", "MODE") => ["secure", "standalone"].map(str::to_owned).into(),
        (_, "DATABASE") => {
            lines(&ask.program("ovsdb-client", &["--timeout=1", "list-dbs"])).map(str::to_owned).collect()
        }
        (_, "TABLE") => schema(ask).keys().cloned().collect(),
        ("ovs-vsctl", "RECORD") => given.first().map_or_else(Vec::new, |table| {
            let names = ask.vsctl(&["--bare", "--columns=name", "list", table]);
            if names.is_empty() { ask.vsctl(&["--bare", "--columns=_uuid", "list", table]) } else { names }
        }),
        ("ovs-vsctl", "COLUMN") => {
            let record = given.first().filter(|table| schema(ask).contains_key(**table));
            let columns = columns(ask, record.copied().unwrap_or("Port"));
            let end = if word.contains("=VALUE") { "=" } else { "" };
            columns.into_iter().map(|column| format!("{column}{end}")).collect()
        }
        _ => Vec::new(),
    }
}

/// What a command lists of the bridge that was given, or of all.
fn of_bridges(given: &[&str], command: &str, ask: Ask<'_>) -> Vec<String> {
    let bridges = ask.vsctl(&["list-br"]);
    match given.first() {
        Some(bridge) if bridges.iter().any(|it| it == bridge) => ask.vsctl(&[command, bridge]),
        _ => bridges.iter().flat_map(|bridge| ask.vsctl(&[command, bridge])).collect(),
    }
}

fn schema(ask: Ask<'_>) -> serde_json::Map<String, Value> {
    let text = ask.program("ovsdb-client", &["--timeout=1", "get-schema"]);
    match serde_json::from_str(&text) {
        Ok(Value::Object(mut schema)) => match schema.remove("tables") {
            Some(Value::Object(tables)) => tables,
            _ => serde_json::Map::new(),
        },
        _ => serde_json::Map::new(),
    }
}

fn columns(ask: Ask<'_>, table: &str) -> Vec<String> {
    let columns = schema(ask).remove(table).and_then(|mut table| Some(table.get_mut("columns")?.take()));
    columns.as_ref().and_then(Value::as_object).into_iter().flat_map(|it| it.keys().cloned()).collect()
}

/// Names of fields, after the commas of what is there already.
fn fields(current: &str) -> Vec<String> {
    let before = current.rfind(',').map_or("", |at| &current[..=at]);
    if current.contains("actions=") {
        return Vec::new();
    }
    let names = heddle_flow::field::FIELDS.iter().map(|field| field.name);
    let others = ["table", "priority", "cookie", "idle_timeout", "hard_timeout", "actions"];
    names.chain(others).map(|name| format!("{before}{name}=")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients beside a switch with two bridges.
    fn answer(program: &str, words: &[&str]) -> String {
        let text = match (program, words) {
            ("ovs-vsctl", ["--option"]) => "--timeout=ARG\n-t ARG\n--no-wait\n",
            ("ovs-vsctl", ["--help"]) => {
                "ovs-vsctl: x\n\nCommands:\n  [--may-exist] add-port BRIDGE PORT [COLUMN[:KEY]=VALUE]...\n  \
                 [--if-exists] del-port [BRIDGE] PORT\n  get TABLE RECORD [COLUMN[:KEY]]...\n  \
                 set TABLE RECORD COLUMN[:KEY]=VALUE...\n\nOptions:\n  --timeout=ARG\n"
            }
            ("ovs-vsctl", [_, "list-br"]) => "br0\nbr1\n",
            ("ovs-vsctl", [_, "list-ports", "br0"]) => "p1\np2\n",
            ("ovs-vsctl", [_, "list-ports", "br1"]) => "p3\n",
            ("ovs-vsctl", [_, "--bare", "--columns=name", "list", "Port"]) => "p1\n\np2\n\np3\n",
            ("ovsdb-client", [_, "get-schema"]) => {
                r#"{"tables":{"Port":{"columns":{"name":{},"tag":{}}},"Bridge":{"columns":{}}}}"#
            }
            ("ovs-appctl", ["-t", "ovsdb-server", "list-commands"]) => {
                "The available commands are:\n  exit\n"
            }
            ("ovs-appctl", ["list-commands"]) => {
                "The available commands are:\n  fdb/show                bridge\n  version\n"
            }
            ("ovs-appctl", ["--option"]) => "--target=ARG\n-t ARG\n",
            ("ovs-ofctl", ["--help"]) => "Commands:\n  add-flow SWITCH FLOW\n",
            _ => "",
        };
        text.to_owned()
    }

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let ask = Ask { run: &answer, switches: &|| vec!["s1".to_owned()] };
        assert_eq!(complete(line, ask), expected, "{line}");
    }

    #[test]
    fn commands_and_options() {
        check("ovs-vsctl a", &["add-port"]);
        check("/usr/bin/ovs-vsctl --timeout 5 -t 3 g", &["get"]);
        check("heddle vsctl --m", &["--may-exist"]);
        check("heddle vsctl --no-wait add-port br0 x -- --may-exist s", &["set"]);
        check("heddle vsctl -", &["--if-exists", "--may-exist", "--no-wait", "--timeout="]);
        check("ovs-appctl -t ovsdb-server ", &["exit"]);
        check("other ", &[]);
        check("", &[]);
    }

    #[test]
    fn what_commands_name() {
        check("ovs-vsctl add-port ", &["br0", "br1"]);
        check("ovs-vsctl add-port br0 x ta", &["tag="]);
        check("ovs-vsctl del-port br0 ", &["p1", "p2"]);
        check("ovs-vsctl del-port p", &["p1", "p2", "p3"]);
        check("ovs-vsctl set P", &["Port"]);
        check("ovs-vsctl set Port ", &["p1", "p2", "p3"]);
        check("ovs-vsctl get Port p1 n", &["name"]);
        check("ovs-vsctl set Port p1 tag=1 n", &["name="]);
        check("ovs-appctl fdb/show b", &["br0", "br1"]);
        check("ovs-ofctl add-flow ", &["s1"]);
        check("ovs-ofctl add-flow br0 in_port=1,tcp_ds", &["in_port=1,tcp_dst="]);
    }
}
