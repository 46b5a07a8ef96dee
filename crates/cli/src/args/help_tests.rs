//! What `--help` says, and whether it can be typed.

use clap::{Command, CommandFactory as _, Parser as _};

use super::Cli;

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
    let commands = below(&Cli::command(), "tilth");
    assert!(commands.iter().any(|(typed, _)| typed == "tilth provider pause"), "it is looked into");
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
