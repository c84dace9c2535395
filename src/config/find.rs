//! Finding schedule files and reading them.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::SourceText;
use super::diagnostic::Diagnostic;

/// No schedule file may be larger: 4 MiB.
const LARGEST: u64 = 4 << 20;

/// Where files are looked for when none are named; the first that has any counts.
const USUAL: [&str; 2] = ["schedules", "/etc/cronclave"];

/// Reads the files that `paths` name: each a file, a directory (its `*.toml` in order of name, not those
/// further down), or `-` for `stdin`. Without paths: `schedules/*.toml`, else `/etc/cronclave/*.toml`.
///
/// # Errors
/// Every path that is missing, unreadable, not UTF-8 or larger than 4 MiB; no file at all.
pub fn find(paths: &[PathBuf], stdin: &mut dyn Read) -> Result<Vec<SourceText>, Vec<Diagnostic>> {
    let (mut sources, mut wrong) = (Vec::<SourceText>::new(), Vec::new());
    let mut take = |listed: Result<Vec<PathBuf>, Box<Diagnostic>>| match listed {
        Err(refusal) => wrong.push(*refusal),
        Ok(files) => {
            for file in files {
                // A file named twice, by itself and by its directory, is one file.
                if sources.iter().any(|known| known.name == file.display().to_string()) {
                    continue;
                }
                match read(&file, stdin) {
                    Ok(source) => sources.push(source),
                    Err(why) => wrong.push(refused(&file, &why)),
                }
            }
        }
    };
    if paths.is_empty() {
        take(usual());
    }
    for path in paths {
        take(if path.is_dir() { directory(path) } else { Ok(vec![path.clone()]) });
    }
    if wrong.is_empty() { Ok(sources) } else { Err(wrong) }
}

/// What tells a file from itself before and after a change, without reading it.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    /// Device, number, size; when its contents and when anything of it last changed, as far as clocks there tell.
    numbers: (u64, u64, u64, [i64; 4]),
}

/// The stamps of the files that [`find`] would read; `None` when it could not, which it will explain.
pub fn stamps(paths: &[PathBuf]) -> Option<Vec<Stamp>> {
    let mut files = if paths.is_empty() { usual().ok()? } else { Vec::new() };
    for path in paths {
        files.extend(if path.is_dir() { listing(path).ok()? } else { vec![path.clone()] });
    }
    let stamp = |path: PathBuf| {
        let of = std::fs::metadata(&path).ok()?;
        let times = [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()];
        Some(Stamp { path, numbers: (of.dev(), of.ino(), of.size(), times) })
    };
    files.into_iter().map(stamp).collect()
}

fn usual() -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let lists = USUAL.iter().map(|dir| listing(Path::new(dir)).unwrap_or_default());
    lists.into_iter().find(|list| !list.is_empty()).ok_or_else(|| {
        let mut none = Diagnostic::about_file("E0005", "schedules/", "there is no schedule file".to_owned());
        none.help("looked for schedules/*.toml and /etc/cronclave/*.toml; name others with --config PATH");
        Box::new(none)
    })
}

fn directory(path: &Path) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    match listing(path) {
        Ok(list) if list.is_empty() => Err(refused(path, "this directory has no *.toml file").into()),
        Ok(list) => Ok(list),
        Err(error) => Err(refused(path, &format!("cannot be listed: {error}")).into()),
    }
}

fn refused(path: &Path, why: &str) -> Diagnostic {
    Diagnostic::about_file("E0005", &path.display().to_string(), why.to_owned())
}

fn listing(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|ext| ext == "toml") && path.is_file() {
            list.push(path);
        }
    }
    list.sort();
    Ok(list)
}

fn read(path: &Path, stdin: &mut dyn Read) -> Result<SourceText, String> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let (name, mut bytes) = (path.display().to_string(), Vec::new());
    if name == "-" {
        stdin.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err("larger than 4 MiB: surely not a schedule file".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|byte| **byte == b'\n').count();
        format!("not UTF-8 text (line {})", line + 1)
    })?;
    let name = if name == "-" { "<stdin>".to_owned() } else { name };
    Ok(SourceText { name, text: text.strip_prefix('\u{feff}').unwrap_or(&text).into() })
}
