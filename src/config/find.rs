//! Finding schedule files and reading them.

use std::io::Read;
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
    let mut files = Vec::new();
    let mut wrong = Vec::new();
    if paths.is_empty() {
        let listed = USUAL.iter().map(|dir| listing(Path::new(dir)).unwrap_or_default());
        files = listed.into_iter().find(|list| !list.is_empty()).unwrap_or_default();
        if files.is_empty() {
            let mut none = Diagnostic::about_file("E0005", "schedules/", "there is no schedule file".to_owned());
            none.help("looked for schedules/*.toml and /etc/cronclave/*.toml; name others with --config PATH");
            return Err(vec![none]);
        }
    }
    for path in paths {
        match path.is_dir().then(|| listing(path)) {
            None => files.push(path.clone()),
            Some(Ok(list)) if list.is_empty() => wrong.push(refused(path, "this directory has no *.toml file")),
            Some(Ok(list)) => files.extend(list),
            Some(Err(error)) => wrong.push(refused(path, &format!("cannot be listed: {error}"))),
        }
    }
    // A file named twice, by itself and by its directory, is one file.
    let mut sources: Vec<SourceText> = Vec::new();
    for path in files {
        if sources.iter().any(|known| known.name == path.display().to_string()) {
            continue;
        }
        match read(&path, stdin) {
            Ok(source) => sources.push(source),
            Err(why) => wrong.push(refused(&path, &why)),
        }
    }
    if wrong.is_empty() { Ok(sources) } else { Err(wrong) }
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
    Ok(SourceText { name, text: text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned) })
}
