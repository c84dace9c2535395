//! The platform that a process finds itself on: what that calls it, how long it is let to stop, and whether the disk
//! there lasts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::Env;
use super::process::{WrongSetting, wrong};

/// Names are no longer.
const LONGEST_NAME: usize = 100;

/// Who runs this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says who it is")]
pub enum Platform {
    Heroku,
    CloudFoundry,
    Fly,
    Render,
    Kubernetes,
}

impl Platform {
    /// By the variables that each sets, and nobody else.
    pub fn of(env: Env<'_>) -> Option<Platform> {
        let all = [
            ("DYNO", Platform::Heroku),
            ("CF_INSTANCE_GUID", Platform::CloudFoundry),
            ("FLY_MACHINE_ID", Platform::Fly),
            ("RENDER_INSTANCE_ID", Platform::Render),
            ("KUBERNETES_SERVICE_HOST", Platform::Kubernetes),
        ];
        all.into_iter().find_map(|(name, platform)| env(name).map(|_| platform))
    }

    /// What it calls this process.
    pub(super) fn name(self, env: Env<'_>) -> Option<String> {
        let name = match self {
            Platform::Heroku => env("DYNO"),
            Platform::CloudFoundry => {
                let app =
                    env("VCAP_APPLICATION").and_then(|text| application(&text)).unwrap_or_else(|| "cf".to_owned());
                Some(format!("{app}.{}", env("CF_INSTANCE_INDEX")?))
            }
            Platform::Fly => env("FLY_MACHINE_ID"),
            Platform::Render => env("RENDER_INSTANCE_ID"),
            // The name of the pod.
            Platform::Kubernetes => env("HOSTNAME"),
        };
        name.map(|name| mended(&name))
    }

    /// What it calls itself.
    pub fn title(self) -> &'static str {
        match self {
            Platform::Heroku => "Heroku",
            Platform::CloudFoundry => "Cloud Foundry",
            Platform::Fly => "Fly.io",
            Platform::Render => "Render",
            Platform::Kubernetes => "Kubernetes",
        }
    }

    /// A process that has not ended so long after it was told to stop is killed, unless [`Platform::kill_setting`] says
    /// otherwise. From the platforms' own pages on shutting down, as of 2026.
    pub fn kills_after(self) -> Duration {
        Duration::from_secs(match self {
            Platform::CloudFoundry => 10,
            Platform::Fly => 5,
            Platform::Heroku | Platform::Render | Platform::Kubernetes => 30,
        })
    }

    /// Where it can be told to wait longer, if it can.
    pub fn kill_setting(self) -> Option<&'static str> {
        match self {
            Platform::Heroku | Platform::CloudFoundry => None,
            Platform::Fly => Some("`kill_timeout` in fly.toml"),
            Platform::Render => Some("`maxShutdownDelaySeconds` in render.yaml"),
            Platform::Kubernetes => Some("`terminationGracePeriodSeconds` of the pod"),
        }
    }

    /// How long what runs may go on when this process is told to stop, such that it ends before it is killed.
    pub(super) fn grace(self) -> Duration {
        let margin = match self {
            Platform::Fly => 1,
            Platform::CloudFoundry => 2,
            Platform::Heroku | Platform::Render | Platform::Kubernetes => 5,
        };
        self.kills_after() - Duration::from_secs(margin)
    }

    /// Between asking what then still runs to end and killing it, at most: what is left, less the time to record it.
    pub(super) fn hurry(self) -> Duration {
        Duration::from_millis(match self {
            Platform::Fly => 500,
            Platform::CloudFoundry => 1000,
            Platform::Heroku | Platform::Render | Platform::Kubernetes => 3000,
        })
    }

    /// Whether and why a file does not outlast this process.
    fn forgets(self, file: &Path, mounts: &str) -> Option<&'static str> {
        match self {
            Platform::Heroku => Some("the disk of a dyno, which is emptied whenever the dyno starts anew"),
            Platform::CloudFoundry => Some("the disk of an app's instance, which is emptied whenever it starts anew"),
            Platform::Fly => {
                is_fleeting(file, mounts).then_some("a Machine's own disk and no volume: deploys empty it")
            }
            Platform::Render => {
                is_fleeting(file, mounts).then_some("no persistent disk: deploys and restarts empty it")
            }
            Platform::Kubernetes => is_fleeting(file, mounts)
                .then_some("the container's own disk and no volume: it goes with the container"),
        }
    }
}

/// The application's name in `VCAP_APPLICATION`.
fn application(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    let named = ["application_name", "name"].into_iter().find_map(|key| value[key].as_str());
    named.filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Whether a name may hold this.
pub(super) fn fits_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

/// Nobody can change what a platform calls things: it is made to fit.
pub(super) fn mended(name: &str) -> String {
    name.chars().take(LONGEST_NAME).map(|c| if fits_a_name(c) { c } else { '-' }).collect()
}

/// Refuses a name that somebody chose and that cannot be used.
pub(super) fn check_word(place: &str, word: &str) -> Result<(), WrongSetting> {
    if !word.is_empty() && word.len() <= LONGEST_NAME && word.chars().all(fits_a_name) {
        return Ok(());
    }
    Err(wrong(place, format!("`{word}` is not a usable name: letters, digits, `.`, `_` and `-`, at most 100")))
}

/// Why the database would be lost where it is, if it would, and what to do instead.
pub(super) fn fleeting(env: Env<'_>, file: &Path) -> Option<WrongSetting> {
    let platform = Platform::of(env)?;
    // Without it nothing is known of the disks, and nothing is refused for what is not known.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let why = platform.forgets(&real(file), &mounts)?;
    let message = format!(
        "{} is on {why}, and no other replica can use it: set REDIS_URL to the address of a Redis, or \
         CRONCLAVE_DB_EPHEMERAL=1 if the history of jobs may be lost and occurrences run again",
        file.display()
    );
    Some(wrong("--db / CRONCLAVE_DB", message))
}

/// Where it is, or will be, without links.
fn real(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let (mut there, mut rest) = (file.as_path(), Vec::new());
    loop {
        if let Ok(found) = there.canonicalize() {
            return rest.into_iter().rev().fold(found, |path, name| path.join(name));
        }
        let (Some(parent), Some(name)) = (there.parent(), there.file_name()) else { return file };
        rest.push(name);
        there = parent;
    }
}

/// Whether `file` is on the root of the file system, which is the container's own, or in memory. `mounts` is what
/// `/proc/self/mountinfo` says; where that says nothing of the file, it is not.
fn is_fleeting(file: &Path, mounts: &str) -> bool {
    // proc_pid_mountinfo(5): the mount point is the fifth field, the kind of file system the first behind a `-`.
    let read = |line: &str| {
        let (mount, system) = line.split_once(" - ")?;
        let point = PathBuf::from(unescaped(mount.split(' ').nth(4)?));
        file.starts_with(&point).then(|| (point, system.split(' ').next().unwrap_or("").to_owned()))
    };
    // Of two on one point the later covers the earlier.
    let holds = mounts.lines().filter_map(read).max_by_key(|(point, _)| point.components().count());
    holds.is_some_and(|(point, system)| point == Path::new("/") || system == "tmpfs")
}

/// Spaces and the like stand there in octal: `\040`.
fn unescaped(text: &str) -> String {
    let mut pieces = text.split('\\');
    let mut all = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        match piece.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => all += &format!("{}{}", char::from(byte), &piece[3..]),
            None => all += &format!("\\{piece}"),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(variables: &[(&str, &str)]) -> Option<String> {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Platform::of(&env).and_then(|platform| platform.name(&env))
    }

    #[test]
    fn a_process_is_called_what_its_platform_calls_it_as_far_as_that_is_a_name() {
        let cf = [("CF_INSTANCE_GUID", "1f3e"), ("CF_INSTANCE_INDEX", "2")];
        let called = |app: &str| named(&[cf.as_slice(), &[("VCAP_APPLICATION", app)]].concat());
        assert_eq!(called(r#"{"application_name": "cron", "name": "x"}"#).unwrap(), "cron.2");
        assert_eq!(called(r#"{"application_name": "Our Cron/β"}"#).unwrap(), "Our-Cron--.2");
        assert_eq!(called("{").unwrap(), "cf.2");
        assert_eq!(named(&cf).unwrap(), "cf.2");
        // A task has no number.
        assert_eq!(named(&cf[..1]), None);
        assert_eq!(named(&[("DYNO", "web.1")]).unwrap(), "web.1");
        assert_eq!(
            named(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("HOSTNAME", "cron-7d9c-x2")]).unwrap(),
            "cron-7d9c-x2"
        );
        // Many a machine has one of these.
        assert_eq!(named(&[("HOSTNAME", "laptop")]), None);
        let long = "x".repeat(300);
        assert_eq!(named(&[("RENDER_INSTANCE_ID", &long)]).unwrap().len(), 100);
        assert!(check_word("--replica", &mended("a b/c:d")).is_ok() && check_word("--replica", "a b").is_err());
    }

    /// A container of containerd with two volumes, as its own mountinfo shows it.
    const POD: &str = "\
1203 1087 0:152 / / rw,relatime master:373 - overlay overlay rw,lowerdir=/var/lib/containerd/1/fs,upperdir=/u,workdir=/w
1204 1203 0:154 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1205 1203 0:155 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
1218 1203 259:3 /pods/5f/volumes/kubernetes.io~csi/pvc-1/mount /var/lib/cronclave rw,relatime - ext4 /dev/nvme1n1 rw
1219 1203 259:1 /pods/5f/volumes/kubernetes.io~empty-dir/a /a\\040b rw,relatime - ext4 /dev/root rw,discard
1220 1203 0:149 / /memory rw,relatime - tmpfs tmpfs rw,size=1024k
";

    #[test]
    fn what_is_on_a_volume_lasts_and_what_is_on_the_container_or_in_memory_does_not() {
        for (file, is_lost) in [
            ("/cronclave.db", true),
            ("/var/lib/cronclave2/cronclave.db", true),
            ("/memory/cronclave.db", true),
            ("/var/lib/cronclave/cronclave.db", false),
            ("/var/lib/cronclave/deep/down/cronclave.db", false),
            ("/a b/cronclave.db", false),
        ] {
            assert_eq!(is_fleeting(Path::new(file), POD), is_lost, "{file}");
        }
        assert!(!is_fleeting(Path::new("/cronclave.db"), ""), "nothing is known");
        let covered = format!("{POD}1300 1218 0:160 / /var/lib/cronclave rw - tmpfs tmpfs rw\n");
        assert!(is_fleeting(Path::new("/var/lib/cronclave/cronclave.db"), &covered));
    }

    #[test]
    fn a_platform_without_volumes_keeps_nothing_wherever_it_is() {
        let file = Path::new("/var/lib/cronclave/cronclave.db");
        assert!(Platform::Heroku.forgets(file, POD).is_some() && Platform::CloudFoundry.forgets(file, POD).is_some());
        for platform in [Platform::Fly, Platform::Render, Platform::Kubernetes] {
            assert_eq!(platform.forgets(file, POD), None);
            assert!(platform.forgets(Path::new("/app/cronclave.db"), POD).is_some());
        }
    }

    #[test]
    fn a_path_is_followed_through_links_as_far_as_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let true_dir = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&true_dir, true_dir.join("link")).unwrap();
        assert_eq!(real(&true_dir.join("link/not/there.db")), true_dir.join("not/there.db"));
        assert!(real(Path::new("cronclave.db")).is_absolute());
    }
}
