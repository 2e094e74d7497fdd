//! A program of the operator's: what it is told, how long it may take, and what is made of its end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use acme_bridge::solver::exec::{Hook, HookConfig};
use acme_bridge::solver::{Records as _, SolverError, TxtRecord};
use tempfile::TempDir;

fn record() -> TxtRecord {
    TxtRecord {
        name: "dev-1.example".into(),
        owner: "_x.dev-1.example".into(),
        value: "v $(w)".into(),
    }
}

/// A folder with a program of this text.
fn program(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hook");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    (folder, path)
}

fn hook(program: &Path, arguments: &[&str], timeout: Duration) -> Hook {
    let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
    Hook::new(HookConfig { program: program.to_owned(), arguments, timeout })
}

const LONG: Duration = Duration::from_secs(30);

fn words(result: Result<(), SolverError>) -> (String, bool) {
    match result.unwrap_err() {
        SolverError::Passing(error) => (error.to_string(), true),
        SolverError::Configuration(error) => (error.to_string(), false),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_program_gets_its_words_and_its_environment_without_a_shell() {
    let (folder, path) = program(
        "printf '%s\\n' \"$#\" \"$@\" >\"${0%/*}/$REGISTRAR_ACTION\"\n\
         env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | cut -d= -f1 | sort >\"${0%/*}/names\"\n\
         printf '%s|%s|%s' \"$REGISTRAR_NAME\" \"$REGISTRAR_OWNER\" \"$REGISTRAR_VALUE\" >\"${0%/*}/values\"",
    );
    let hook = hook(&path, &["--first", "two words; $HOME"], LONG);
    hook.add(&record()).await.unwrap();
    hook.remove(&record()).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for action in ["present", "cleanup"] {
        let expected =
            format!("5\n--first\ntwo words; $HOME\n{action}\n_x.dev-1.example\nv $(w)\n");
        assert_eq!(read(action), expected);
    }
    let names = read("names");
    let names: Vec<&str> = names.lines().filter(|name| !["HOME", "PATH"].contains(name)).collect();
    let own = ["REGISTRAR_ACTION", "REGISTRAR_NAME", "REGISTRAR_OWNER", "REGISTRAR_VALUE"];
    assert_eq!(names, own);
    assert_eq!(read("values"), "dev-1.example|_x.dev-1.example|v $(w)");
}

#[tokio::test]
async fn a_program_that_fails_is_tried_again_unless_it_says_otherwise() {
    let (_folder, path) = program("echo out; echo 'no such\tzone' >&2; exit 3");
    let (text, is_passing) = words(hook(&path, &[], LONG).add(&record()).await);
    assert!(is_passing && text.contains("exit status: 3"), "{text}");
    assert!(text.contains("no such zone") && text.contains("out"), "{text}");
    let (_folder, path) = program("exit 78");
    let (text, is_passing) = words(hook(&path, &[], LONG).add(&record()).await);
    assert!(!is_passing && text.contains("printed nothing"), "{text}");
    let (_folder, path) = program("kill -SEGV $$");
    let (text, is_passing) = words(hook(&path, &[], LONG).add(&record()).await);
    assert!(is_passing && text.contains("signal"), "{text}");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_waits_for_an_operator() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    for path in [folder.path().join("none"), plain] {
        let (text, is_passing) = words(hook(&path, &[], LONG).add(&record()).await);
        assert!(!is_passing && text.contains("cannot start"), "{text}");
    }
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_its_children() {
    let (folder, path) = program("echo begun; sleep 600 & echo $! >\"${0%/*}/child\"; wait");
    let limit = Duration::from_millis(500);
    let begin = Instant::now();
    let (text, is_passing) = words(hook(&path, &[], limit).add(&record()).await);
    assert!(is_passing && text.contains("was killed") && text.contains("begun"), "{text}");
    assert!(begin.elapsed() < Duration::from_secs(20));
    let child = std::fs::read_to_string(folder.path().join("child")).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    // Gone, or a zombie that nobody has reaped yet.
    assert!(
        status.is_err() || status.as_ref().is_ok_and(|text| text.contains(") Z ")),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_program_that_leaves_something_running_ends_with_it() {
    let (_folder, path) = program("sleep 600 & exit 0");
    let begin = Instant::now();
    hook(&path, &[], LONG).add(&record()).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn of_much_that_is_printed_the_beginning_is_kept() {
    let (_folder, path) = program("yes 'a line' | head -c 3000000; exit 1");
    let (text, _) = words(hook(&path, &[], LONG).add(&record()).await);
    assert!(text.len() < 4096, "{}", text.len());
    assert!(text.contains("a line"));
}
