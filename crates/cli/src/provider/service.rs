//! `tilth provider install` and `uninstall`: a provider as a systemd service of this user.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use serde_json::json;
use tilth_protocol::Problem;

use super::{check_name, config::ProviderConfig, folder};
use crate::{
    Ended,
    args::{Common, Install},
    place::Place,
    print_json,
};

/// What the service is told whatever its configuration says, which is checked when it is installed and may change.
const NO_WAITING: &str = "--set wait-for-pay=false";

/// Where a unit lies and what it is called.
struct Unit {
    name: String,
    path: PathBuf,
}

impl Unit {
    fn of(provider: &str) -> Result<Self, Problem> {
        check_name(provider)?;
        let name = format!("tilth-provider-{provider}.service");
        let set = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = set.filter(|path| path.is_absolute());
        let config = config.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
        let config = config.ok_or_else(|| {
            Problem::new(
                "there is no place for the unit file",
                "this user has no home folder",
                "run it as the user whose machine this is, or set XDG_CONFIG_HOME",
            )
        })?;
        let path = config.join("systemd/user").join(&name);
        Ok(Self { name, path })
    }
}

pub fn install(common: &Common, args: &Install) -> Ended {
    let unit = Unit::of(&args.name)?;
    let place = Place::open(common)?;
    // The service could only fail without them.
    place.signer(&args.name)?;
    place.signer(&format!("{}-node", args.name))?;
    check_options(&folder(common, &args.name).join("provider.toml"))?;
    let dir = std::path::absolute(&place.dir).unwrap_or_else(|_| place.dir.clone());
    let program = std::env::current_exe().map_err(|error| {
        let advice = "start it by its full path, from a file that has not been replaced";
        Problem::new("the program cannot find itself", error.to_string(), advice)
    })?;
    let text = unit_file(&args.name, &program, &dir)?;
    let lingers = lingers();
    if args.dry_run {
        if common.json {
            print_json(&json!({ "unit": unit.path, "text": text, "lingers": lingers }))?;
        } else {
            println!("# would be written to {}", unit.path.display());
            print!("{text}");
            println!("# then: systemctl --user daemon-reload");
            if !args.no_start {
                println!("#       systemctl --user enable --now {}", unit.name);
            }
            say_lingering(lingers, "# ");
        }
        return Ok(ExitCode::SUCCESS);
    }
    write(&unit.path, &text)?;
    let start: &[&str] = &["enable", "--now", &unit.name];
    let wanted = [&["daemon-reload"][..], start];
    let wanted = &wanted[..if args.no_start { 1 } else { 2 }];
    let failed = wanted.iter().find_map(|args| systemctl(args).err());
    if common.json {
        print_json(&json!({
            "unit": unit.path, "started": failed.is_none() && !args.no_start,
            "why-not": failed, "lingers": lingers,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("wrote {}", unit.path.display());
    match failed {
        None if args.no_start => println!("start it: systemctl --user enable --now {}", unit.name),
        None => {
            println!("provider {} runs as a service", args.name);
            println!("  log   journalctl --user -u {}", unit.name);
            println!("  stop  systemctl --user stop {}", unit.name);
        }
        Some(why) => {
            println!("the service manager of this user cannot be reached now: {why}");
            println!("  after the next login: systemctl --user daemon-reload");
            println!("                        systemctl --user enable --now {}", unit.name);
        }
    }
    say_lingering(lingers, "");
    Ok(ExitCode::SUCCESS)
}

/// Checks what the service would be told, as its start does: it would only fail again and again. Variables of this
/// shell are not the service's, so the file alone counts.
fn check_options(file: &Path) -> Result<(), Problem> {
    let config = ProviderConfig::read(file)?;
    if config.wait_for_pay {
        return Err(Problem::new(
            "a service does not wait to be paid",
            format!("{}: wait-for-pay = true, and it is killed after 90 seconds", file.display()),
            "take it out: the next start goes on with what is not paid yet; to leave for good, \
             uninstall it, start it with `--set wait-for-pay=true` and end that",
        ));
    }
    let offer = config.told()?.offer;
    if let Some(model) = offer.models.iter().find(|model| model.file.is_relative()) {
        return Err(Problem::new(
            "a service would look for this model elsewhere",
            format!("{}: models = {:?}", file.display(), model.file),
            "write its full path",
        ));
    }
    offer.check().map_err(|error| error.problem())
}

pub fn uninstall(common: &Common, name: &str, dry_run: bool) -> Ended {
    let unit = Unit::of(name)?;
    let there = unit.path.exists();
    if !there {
        return Err(Problem::new(
            "this provider is not installed as a service",
            format!("{} is not there", unit.path.display()),
            "check the name; services of other users are theirs to remove",
        ));
    }
    if !dry_run {
        // One that does not run, or a manager that is away, must not keep the file from going.
        let stopped = systemctl(&["disable", "--now", &unit.name]);
        fs::remove_file(&unit.path).map_err(|error| file_problem(&unit.path, &error))?;
        let _ = systemctl(&["daemon-reload"]);
        if let Err(why) = stopped {
            eprintln!("the service manager of this user says: {why}");
        }
    }
    if common.json {
        print_json(&json!({ "unit": unit.path, "removed": !dry_run }))?;
    } else if dry_run {
        println!("would stop {} and remove {}", unit.name, unit.path.display());
    } else {
        println!("removed {}", unit.path.display());
        println!(
            "folder, keys and stake are still there; work that was begun goes on with `tilth provider {name}`"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The unit file.
///
/// What is not there is missing for a reason: the sandbox makes namespaces, mounts and process groups of
/// its own, and workers run code that they have compiled, so RestrictNamespaces, private mounts and
/// MemoryDenyWriteExecute would switch off the stronger protection.
fn unit_file(name: &str, program: &Path, dir: &Path) -> Result<String, Problem> {
    // Variables are put into arguments, where two dollars are one, and never into the program's own path.
    let (program, dir) = (quoted(program, "$")?, quoted(dir, "$$")?);
    Ok(format!(
        "[Unit]
Description=tilth provider {name}
# However long the node is away it is tried again: with an open audit, a service that has given up costs the stake.
StartLimitIntervalSec=0

[Service]
Type=exec
# A service never waits to be paid, whatever is written in provider.toml later: it would be killed while it waits.
ExecStart={program} provider {name} {NO_WAITING} --dir {dir}
Restart=on-failure
RestartSec=30
# Ending finishes and submits what runs, and does not wait to be paid; when it takes too long, killing loses at most
# the task in flight.
KillMode=mixed
TimeoutStopSec=90

# The owner comes first.
Nice=10
CPUWeight=20
IOWeight=20
OOMScoreAdjust=500

# Limits on workers need groups of their own.
Delegate=cpu memory pids
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
UMask=0022

[Install]
WantedBy=default.target
"
    ))
}

/// A path as a unit file reads it, in a place where a dollar is written like this.
fn quoted(path: &Path, dollar: &str) -> Result<String, Problem> {
    let problem = |why: &str| {
        let detail = format!("{}: {why}", path.display());
        Problem::new("this path cannot stand in a unit file", detail, "move it to a plainer path")
    };
    let text = path.to_str().ok_or_else(|| problem("it is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(problem("it has control characters"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str(dollar),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

fn file_problem(path: &Path, error: &std::io::Error) -> Problem {
    let detail = format!("{}: {error}", path.display());
    Problem::new(
        "the unit file cannot be written",
        detail,
        "check that the folder may be written by this user",
    )
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let done = path.parent().map_or(Ok(()), fs::create_dir_all);
    done.and_then(|()| tilth_service::files::write_whole(path, text.as_bytes()))
        .map_err(|error| file_problem(path, &error))
}

/// Tells the user's service manager; the error is its own words.
fn systemctl(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("systemctl");
    command.arg("--user").args(args).stdin(Stdio::null());
    let done = command.output().map_err(|error| format!("systemctl: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let plain: String =
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    Err(plain.trim().to_owned())
}

/// Whether this user's services run while nobody is logged in; `None` if that is not known.
fn lingers() -> Option<bool> {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok()?;
    check_name(&user).ok()?;
    let dir = Path::new("/var/lib/systemd/linger");
    dir.parent()?.exists().then(|| dir.join(user).exists())
}

fn say_lingering(lingers: Option<bool>, before: &str) {
    if lingers != Some(true) {
        println!("{before}");
        println!(
            "{before}It runs while you are logged in. For it to run from the system's start on, and after you"
        );
        println!("{before}have logged out, let your services linger: loginctl enable-linger");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command, ProviderOptions};

    #[test]
    fn a_service_that_cannot_start_is_started_again_for_ever() {
        let text = unit_file("garage", Path::new("/usr/bin/tilth"), Path::new("/home/o")).unwrap();
        let (head, rest) = text.split_once("[Service]").unwrap();
        let (service, _) = rest.split_once("[Install]").unwrap();
        let line = |part: &str, line: &str| part.lines().any(|other| other == line);
        assert!(line(head, "StartLimitIntervalSec=0"), "systemd reads it under [Unit]: {text}");
        assert!(line(service, "Restart=on-failure"), "{text}");
        // Being away for half an hour costs a stake; a start that finds no node takes 20 seconds.
        let delay = service.lines().find_map(|line| line.strip_prefix("RestartSec="));
        let delay: u32 = delay.unwrap().parse().unwrap();
        assert!((5..=120).contains(&delay), "{text}");
    }

    #[test]
    fn a_service_that_is_stopped_has_time_to_deliver_and_no_child_is_told_before() {
        let text = unit_file("garage", Path::new("/usr/bin/tilth"), Path::new("/home/o")).unwrap();
        let (_, service) = text.split_once("[Service]").unwrap();
        let line = |line: &str| service.lines().any(|other| other == line);
        // Workers that hear the signal would lose what is being delivered.
        assert!(line("KillMode=mixed") && line("TimeoutStopSec=90"), "{text}");
        // So a service must not be one that stays until it is paid, which takes as long as its clients' windows.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("provider.toml");
        fs::write(&file, "wait-for-pay = true\n").unwrap();
        let start = service.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let cli = Cli::try_parse_from(start.replace('"', "").split(' ')).unwrap();
        let Command::Provider(told) = cli.command else { panic!("{start}") };
        let wait_for_pay =
            |told: &ProviderOptions| ProviderConfig::gather(&file, told).unwrap().wait_for_pay;
        assert!(!wait_for_pay(&told.options), "written there after the installation: {start}");
        let without = ProviderOptions { set: Vec::new(), ..told.options.clone() };
        assert!(wait_for_pay(&without), "the file is read");
        let refused = check_options(&file).unwrap_err().to_string();
        assert!(refused.contains("wait-for-pay") && refused.contains("90 seconds"), "{refused}");
        fs::write(&file, "wait-for-pay = false\n").unwrap();
        check_options(&file).unwrap();
    }

    #[test]
    fn what_the_service_could_only_fail_with_is_refused_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("provider.toml");
        check_options(&file).unwrap();
        let refused = |text: &str| {
            fs::write(&file, text).unwrap();
            check_options(&file).unwrap_err().to_string()
        };
        assert!(refused("[idle]\nwhen-bussy = \"pause\"\n").contains("did you mean"));
        assert!(refused("slots = 0\n").contains("slots"));
        let model = dir.path().join("model");
        let offer = format!("models = [{:?}]\n", model.display().to_string());
        assert!(refused(&offer).contains("cannot be read"), "{offer}");
        assert!(refused("models = [\"model\"]\n").contains("full path"));
        fs::write(&model, "").unwrap();
        fs::write(&file, &offer).unwrap();
        check_options(&file).unwrap();
    }

    #[test]
    fn paths_stand_in_a_unit_file_as_they_are() {
        assert_eq!(quoted(Path::new("/a b/c"), "$").unwrap(), "\"/a b/c\"");
        let odd = Path::new("/50%/$x/\"q\"\\");
        assert_eq!(quoted(odd, "$$").unwrap(), "\"/50%%/$$x/\\\"q\\\"\\\\\"");
        assert!(quoted(Path::new("/a\nExecStart=/bin/evil"), "$").is_err());
        // systemd.service(5): `$$` is one dollar in an argument; the program's path is taken as it is.
        let text = unit_file("garage", Path::new("/opt/$a/tilth"), Path::new("/home/$b")).unwrap();
        let line = format!(
            "ExecStart=\"/opt/$a/tilth\" provider garage {NO_WAITING} --dir \"/home/$$b\"\n"
        );
        assert!(text.contains(&line), "{text}");
        let text =
            unit_file("garage", Path::new("/usr/bin/tilth"), Path::new("/home/o/.tilth")).unwrap();
        let line = format!(
            "ExecStart=\"/usr/bin/tilth\" provider garage {NO_WAITING} --dir \"/home/o/.tilth\"\n"
        );
        assert!(text.contains(&line), "{text}");
    }
}
