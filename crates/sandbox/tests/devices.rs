//! Device nodes and libraries that a program is given are there, and no others.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use tilth_sandbox::{
    Bind, CommandLine, Confinement, GpuAccess, GpuUse, How, Limits, Measure, Program, Protection,
    SandboxError, State,
};
use tokio::io::AsyncReadExt;

async fn confinement() -> Confinement {
    let init = PathBuf::from(env!("CARGO_BIN_EXE_sandbox-fixture"));
    Confinement::probe(CommandLine { program: init, args: vec!["init".into()] }).await.unwrap()
}

fn act(words: &[&str]) -> Program {
    let mut program = Program::new(env!("CARGO_BIN_EXE_sandbox-fixture"));
    program.args = std::iter::once("act").chain(words.iter().copied()).map(Into::into).collect();
    program
}

async fn said(confinement: &Confinement, program: &Program) -> String {
    let mut confined = confinement.spawn(program, &Limits::default()).await.unwrap();
    let mut said = String::new();
    confined.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    let ended = confined.wait().await.unwrap();
    assert_eq!(ended.how, How::Exited(0), "{said}\n{}", confined.stderr_tail());
    said
}

#[tokio::test]
async fn a_device_that_is_given_can_be_opened_and_its_neighbours_cannot() {
    let confinement = confinement().await;
    let mut program = act(&["files", "/dev/full", "/dev/random"]);
    program.devices.push("/dev/full".into());
    let text = said(&confinement, &program).await;
    let line = |path: &str| {
        text.lines().find(|line| line.starts_with(&format!("read {path}:"))).unwrap().to_owned()
    };
    assert!(line("/dev/full").contains("worked"), "{text}");
    assert!(line("/dev/random").contains("error"), "{text}");
    let without = said(&confinement, &act(&["files", "/dev/full"])).await;
    assert!(!without.contains("worked"), "{without}");
}

/// A second node of `/dev/full`, which is removed when dropped; `None` where this process may make none.
struct Node(PathBuf);

impl Node {
    fn make(name: &str, group: &str) -> Option<Self> {
        let node = Self(format!("/dev/tilth-{name}-{}", std::process::id()).into());
        let run = |program: &str, args: &[&str]| {
            let status = Command::new(program).args(args).arg(&node.0).status();
            status.is_ok_and(|status| status.success())
        };
        let make = Command::new("mknod").arg(&node.0).args(["c", "1", "7"]).status();
        let made = make.is_ok_and(|status| status.success());
        (made && run("chgrp", &[group]) && run("chmod", &["660"])).then_some(node)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Render nodes belong to a group and not to everybody; the program of an agent that is root owns nothing.
#[tokio::test]
async fn a_device_of_a_group_can_be_opened_and_one_of_root_alone_cannot() {
    let (Some(render), Some(roots)) = (Node::make("render", "4711"), Node::make("root", "root"))
    else {
        eprintln!("SKIPPED: this test makes device nodes, which takes root");
        return;
    };
    let confinement = confinement().await;
    let has = |protection| {
        let is_it = |measure: &Measure| {
            measure.protection == protection && matches!(measure.state, State::Enforced)
        };
        confinement.report().iter().any(is_it)
    };
    if !has(Protection::OtherUser) || !has(Protection::PrivateFiles) {
        eprintln!("SKIPPED: programs keep the agent's user here, or see its files");
        return;
    }
    let (render, roots) = (render.0.to_str().unwrap(), roots.0.to_str().unwrap());
    let mut program = act(&["files", render, roots]);
    program.devices.extend([render.into(), roots.into()]);
    let text = said(&confinement, &program).await;
    let line = |path: &str| {
        text.lines().find(|line| line.starts_with(&format!("read {path}:"))).unwrap().to_owned()
    };
    assert!(line(render).contains("worked"), "{text}");
    assert!(line(roots).contains("error"), "{text}");
    // The group opens what belongs to it, so it is not given to those that get no such device.
    let dir = tempfile::tempdir().unwrap();
    let owned = dir.path().join("owned");
    std::fs::write(&owned, "content").unwrap();
    std::os::unix::fs::chown(&owned, None, Some(4711)).unwrap();
    std::fs::set_permissions(&owned, std::fs::Permissions::from_mode(0o640)).unwrap();
    for (node, opens) in [(render, true), (roots, false)] {
        let mut program = act(&["files", "/owned"]);
        program.read_only.push(Bind::new(&owned, "/owned"));
        program.devices.push(node.into());
        let text = said(&confinement, &program).await;
        assert_eq!(text.contains("read /owned: worked"), opens, "{node}: {text}");
    }
}

#[tokio::test]
async fn libraries_for_software_vulkan_are_there_and_no_device_is() {
    let confinement = confinement().await;
    let access = GpuAccess::find(&act(&[]).path, GpuUse::Software);
    if !access.is_usable() {
        assert!(std::env::var_os("TILTH_REQUIRE_GPU").is_none(), "{:?}", access.missing);
        eprintln!("SKIPPED: no Vulkan driver in software: {:?}", access.missing);
        return;
    }
    let mut program = act(&["files", "/lib/libvulkan.so.1", "/dev/dri", "/etc/passwd"]);
    access.give(&mut program);
    assert!(program.devices.is_empty());
    let text = said(&confinement, &program).await;
    let line = |path: &str| {
        text.lines().find(|line| line.starts_with(&format!("read {path}:"))).unwrap().to_owned()
    };
    let library = Bind::new("/x", "/lib/libvulkan.so.1");
    if confinement.path_inside(&library) == library.inside {
        assert!(line("/lib/libvulkan.so.1").contains("worked"), "{text}");
    }
    assert!(line("/dev/dri").contains("error") && line("/etc/passwd").contains("error"), "{text}");
}

#[tokio::test]
async fn devices_elsewhere_and_crooked_paths_are_refused() {
    let confinement = confinement().await;
    for path in ["/etc/passwd", "/dev/../etc/passwd", "dev/full"] {
        let mut program = act(&["files"]);
        program.devices.push(path.into());
        let refused = confinement.spawn(&program, &Limits::default()).await;
        assert!(matches!(refused, Err(SandboxError::Request(_))), "{path}");
    }
}
