//! What `--help` says, and whether it can be typed.

use clap::{Command, CommandFactory as _, Parser as _};

use super::Cli;

/// Every command that people see, with what is typed for it: the program's own with its options first.
fn seen() -> Vec<(String, Command)> {
    let program = Cli::command();
    let deeper = below(&program, "tilth");
    [("tilth".to_owned(), program)].into_iter().chain(deeper).collect()
}

/// Every command that people see below one, with what is typed for it.
fn below(command: &Command, typed: &str) -> Vec<(String, Command)> {
    let mut all = Vec::new();
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let typed = format!("{typed} {}", command.get_name());
        let deeper = below(command, &typed);
        all.push((typed, command.clone()));
        all.extend(deeper);
    }
    all
}

#[test]
fn every_command_and_everything_that_it_takes_is_explained() {
    let commands = seen();
    for (typed, option) in [("tilth", "dir"), ("tilth provider pause", "time")] {
        let takes = |command: &Command| command.get_arguments().any(|arg| arg.get_id() == option);
        let found = commands.iter().any(|(command, found)| command == typed && takes(found));
        assert!(found, "{typed} is not looked into");
    }
    for (typed, command) in commands {
        assert!(command.get_about().is_some(), "{typed} says nothing");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{typed}: {} says nothing", argument.get_id());
        }
    }
}

#[test]
fn every_command_has_examples_and_they_are_understood() {
    let cli = Cli::command();
    let examples = |command: &Command| -> Vec<Vec<String>> {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.strip_prefix("  tilth "));
        // What follows several blanks is for people.
        let typed = lines.map(|line| line.split("   ").next().unwrap_or_default());
        typed.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    };
    let mut all = examples(&cli);
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
        let own = examples(command);
        let name = command.get_name();
        assert!(own.iter().any(|words| words[0] == name), "{name} has no example");
        all.extend(own);
    }
    for words in all {
        let typed = ["tilth".to_owned()].into_iter().chain(words.clone());
        if let Err(error) = Cli::try_parse_from(typed) {
            panic!("{words:?}: {error}");
        }
    }
}

#[test]
fn confirmations_are_those_of_a_foreign_chain_and_bounded() {
    let understood = |words: &[&str]| {
        let typed = [["tilth", "up"].as_slice(), words].concat();
        Cli::try_parse_from(typed).is_ok()
    };
    for (confirmations, is_understood) in [("0", true), ("64", true), ("65", false), ("-1", false)]
    {
        let words = ["--rpc", "http://127.0.0.1:1", "--confirmations", confirmations];
        assert_eq!(understood(&words[..]), is_understood, "{confirmations}");
        assert!(!understood(&words[2..]), "tilth's own chain takes nothing back");
    }
}

#[test]
fn what_a_run_and_a_quote_are_told_of_replicas_is_bounded_alike() {
    for command in ["run", "quote"] {
        let told = |replicas: &str| {
            Cli::try_parse_from(["tilth", command, "job.toml", "--replicas", replicas]).is_ok()
        };
        assert_eq!(["0", "1", "2", "3", "x"].map(told), [false, true, true, false, false]);
    }
}

#[test]
fn a_run_and_a_quote_keep_results_for_a_year_at_most() {
    for command in ["run", "quote"] {
        let told = |days: &str| {
            Cli::try_parse_from(["tilth", command, "job.toml", "--keep", days]).is_ok()
        };
        assert!(told("1") && told("366") && !told("0") && !told("367"), "{command}");
    }
}
