//! A shell that a page is typed into, in a directory of its own. All that it started ends with it.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::same::fits;

/// Nothing takes so long unless it hangs, or will never be as the page says.
const LIMIT: Duration = Duration::from_secs(60);

/// What only looks may look again until it sees what the page shows.
const LOOKS: [&str; 10] = [
    "cat ",
    "grep ",
    "tail ",
    "cronclave history",
    "cronclave jobs",
    "cronclave locks",
    "cronclave logs",
    "cronclave status",
    "cronclave verify",
    "cronclave why",
];

/// When the pipe ends, and so does whoever held it, everything in its group does.
const KEEPER: &str = "sh -s; kill -9 0";

pub(crate) struct Shell {
    dir: TempDir,
    /// What each command said, and how it ended. Not beside what the page makes.
    said: TempDir,
    child: Child,
    count: usize,
}

impl Shell {
    /// As a person finds it who has Cronclave in the path.
    pub(crate) fn open() -> Shell {
        let (dir, said) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = Path::new(env!("CARGO_BIN_EXE_cronclave")).parent().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER]).env_clear().current_dir(dir.path()).process_group(0);
        command.env("HOME", dir.path()).env("PATH", format!("{}:/usr/bin:/bin", program.display()));
        command.env("LANG", "C.UTF-8").env("USER", "ana");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Shell { dir, said, child, count: 0 }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whole at once: a replica looks at it.
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Types this and waits until it is said what the page says. What was said, and whether that fits.
    pub(crate) fn ask(&mut self, command: &str, page: &[String]) -> (String, bool) {
        let given_up = Instant::now() + LIMIT;
        let looks = LOOKS.iter().any(|word| command.starts_with(word));
        let mut before = None;
        loop {
            let file = self.enter(command);
            loop {
                let (is_over, said) = (file.with_extension("end").exists(), read(&file));
                if is_over && fits(page, &said) {
                    return (said, true);
                }
                if Instant::now() > given_up {
                    // One that was cut off says less than the one before it.
                    return (before.filter(|_| !is_over).unwrap_or(said), false);
                }
                // What goes on beside the shell says more later.
                if is_over && !command.contains(" &") {
                    if !looks {
                        return (said, false);
                    }
                    before = Some(said);
                    break;
                }
                sleep(Duration::from_millis(20));
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// Has the shell carry this out; the file of what is said.
    fn enter(&mut self, command: &str) -> PathBuf {
        self.count += 1;
        let file = self.said.path().join(self.count.to_string());
        // `$?` is that of the page's last command.
        let script = format!(
            "{{ (exit ${{LAST:-0}})\n{command}\n}} >'{file}' 2>&1 </dev/null\nLAST=$?\n: >'{file}.end'\n",
            file = file.display()
        );
        // Where the shell has ended, the wait says so.
        let _ = self.child.stdin.as_mut().unwrap().write_all(script.as_bytes());
        file
    }
}

/// What is said so far. A process that nobody named is called by its machine, for which the pages have `laptop`.
fn read(file: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    text.replace(&format!("{host}-"), "laptop-")
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}
