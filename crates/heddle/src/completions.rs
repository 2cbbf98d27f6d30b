//! Completions for shells: of the program's own verbs, which its command line knows, and of the clients' words, which the
//! clients are asked for while the operator types.

use std::fmt::Write as _;

use clap_complete::Shell;
use heddle_clients::complete::{Ask, PROGRAMS, complete};
use heddle_clients::{CLIENTS, place};

use crate::output::show_line;

/// The verb that shells call, with the line up to the cursor.
pub const VERB: &str = "complete-words";

/// Prints what may come next on a line.
pub fn print_words(line: &str) {
    for word in complete(line, Ask { run: &run, switches: &switches }) {
        show_line(word);
    }
}

fn run(program: &str, words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let mut out = Vec::new();
    let client = CLIENTS.iter().find(|(name, ..)| *name == program);
    let ended = match client {
        Some((_, _, client)) => client(&words, &mut out),
        None => heddle_ovsdb_server::tool::run(&words, None, &mut out),
    };
    match ended {
        Ok(_) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => String::new(),
    }
}

fn switches() -> Vec<String> {
    let files = std::fs::read_dir(place::run_directory()).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".mgmt")?.to_owned())).collect()
}

/// The script that a shell reads.
pub fn script(shell: Shell, command: &mut clap::Command) -> String {
    let mut own = Vec::new();
    clap_complete::generate(shell, command, "heddle", &mut own);
    let mut script = String::from_utf8_lossy(&own).into_owned();
    let names = |which: fn(&(&'static str, &'static str)) -> &'static str| {
        PROGRAMS.iter().map(which).collect::<Vec<_>>().join(" ")
    };
    let (programs, verbs) = (names(|(name, _)| name), names(|(_, verb)| verb));
    // Writing to a string cannot fail.
    let _ = match shell {
        Shell::Bash => write!(script, "{}", bash(&programs, &verbs)),
        Shell::Zsh => write!(script, "{}", zsh(&programs, &verbs)),
        Shell::Fish => write!(script, "{}", fish(&programs, &verbs)),
        _ => Ok(()),
    };
    script
}

/// Bash breaks words at `:` and `=` too: what is before the last of them, it keeps.
fn bash(programs: &str, verbs: &str) -> String {
    format!(
        r#"
_heddle_words() {{
    local line=${{COMP_LINE:0:COMP_POINT}} word before
    word=${{line##*[[:space:]]}}
    before=${{word%"${{word##*[:=]}}"}}
    mapfile -t COMPREPLY < <(heddle {VERB} "$line" 2>/dev/null)
    COMPREPLY=("${{COMPREPLY[@]#"$before"}}")
    case ${{COMPREPLY[0]}} in *=) compopt -o nospace ;; esac
}}
_heddle_or_words() {{
    case " {verbs} " in
        *" ${{COMP_WORDS[1]}} "*) [ "$COMP_CWORD" -gt 1 ] && _heddle_words "$@" || _heddle "$@" ;;
        *) _heddle "$@" ;;
    esac
}}
complete -F _heddle_or_words -o bashdefault -o default heddle
complete -F _heddle_words -o bashdefault -o default {programs}
"#
    )
}

fn zsh(programs: &str, verbs: &str) -> String {
    format!(
        r#"
_heddle_words() {{
    local -a found
    found=("${{(@f)$(heddle {VERB} "${{BUFFER[1,CURSOR]}}" 2>/dev/null)}}")
    compadd -Q -S '' -- $found || _files
}}
_heddle_or_words() {{
    case " {verbs} " in
        *" ${{words[2]}} "*) (( CURRENT > 2 )) && _heddle_words || _heddle ;;
        *) _heddle ;;
    esac
}}
compdef _heddle_or_words heddle
compdef _heddle_words {programs}
"#
    )
}

fn fish(programs: &str, verbs: &str) -> String {
    let mut script = format!(
        "complete -c heddle -n '__fish_seen_subcommand_from {verbs}' -a '(heddle {VERB} (commandline -cp))'\n"
    );
    for program in programs.split(' ') {
        let _ = writeln!(script, "complete -c {program} -a '(heddle {VERB} (commandline -cp))'");
    }
    script
}
