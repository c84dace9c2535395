//! The zone of this machine's wall clock: cron's times are meant in it.

use std::path::Path;

use crate::config::Env;
use crate::schedule::Zone;

/// A zone, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineZone {
    /// The zone.
    pub zone: Zone,
    /// Where that was found, for people.
    pub origin: String,
}

/// The zone that `$TZ`, `/etc/timezone` or the link `/etc/localtime` names, in this order. `root` is `/` but in tests.
/// A machine without any of them goes by UTC; `None` when there is a zone that has no name.
pub fn machine_zone(env: Env<'_>, root: &Path) -> Option<MachineZone> {
    let found = |name: &str, origin: &str| {
        let zone = Zone::parse(name.rsplit_once("zoneinfo/").map_or(name, |(_, name)| name)).ok()?;
        Some(MachineZone { zone, origin: origin.to_owned() })
    };
    if let Some(name) = env("TZ") {
        return found(name.trim_start_matches(':'), "$TZ");
    }
    let text = std::fs::read_to_string(root.join("etc/timezone")).unwrap_or_default();
    let link = root.join("etc/localtime");
    let target = std::fs::read_link(&link).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let named = found(text.trim(), "/etc/timezone").or_else(|| found(&target, "/etc/localtime"));
    let without = || (!link.exists() && text.trim().is_empty()).then(Zone::utc);
    let nothing = |zone| MachineZone { zone, origin: "no /etc/localtime: that is UTC".to_owned() };
    named.or_else(|| without().map(nothing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_of_a_machine_is_found_where_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        let ask = |tz: Option<&str>| {
            let found = machine_zone(&|_| tz.map(str::to_owned), dir.path());
            found.map(|found| format!("{} {}", found.zone, found.origin))
        };
        assert_eq!(ask(None).as_deref(), Some("UTC no /etc/localtime: that is UTC"));
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Asia/Tokyo", etc.join("localtime")).unwrap();
        assert_eq!(ask(None).as_deref(), Some("Asia/Tokyo /etc/localtime"));
        std::fs::write(etc.join("timezone"), "Europe/Berlin\n").unwrap();
        assert_eq!(ask(None).as_deref(), Some("Europe/Berlin /etc/timezone"));
        assert_eq!(ask(Some(":America/New_York")).as_deref(), Some("America/New_York $TZ"));
        assert_eq!(ask(Some("/usr/share/zoneinfo/Asia/Tokyo")).as_deref(), Some("Asia/Tokyo $TZ"));
        assert_eq!(ask(Some("CET-1CEST,M3.5.0")), None, "rules without a name");
        std::fs::write(etc.join("timezone"), "Nowhere\n").unwrap();
        std::fs::remove_file(etc.join("localtime")).unwrap();
        std::fs::write(etc.join("localtime"), "TZif").unwrap();
        assert_eq!(ask(None), None, "a copy has no name");
    }
}
