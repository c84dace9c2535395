//! The tokens that are known: from the environment and from a file that is read again as it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::{Role, Web};
use crate::event::{Bus, Told};

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(2);

/// A file of tokens is read no further than this.
const MOST: u64 = 1024 * 1024;

/// Who the token of the environment stands for.
const OWN: &str = "api-token";

/// Who the one-time link stands for.
pub(super) const LINK: &str = "sign-in-link";

/// Somebody who is known. The token itself is not kept.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) name: String,
    pub(super) role: Role,
    hash: [u8; 32],
}

/// Everybody who is known at a time.
pub(super) struct Known {
    tokens: Vec<Token>,
    /// Signs cookies: the same on every replica that has the same tokens.
    key: [u8; 32],
}

pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Known {
    fn new(tokens: Vec<Token>, web: &Web) -> Known {
        // The hashes stand in a file; the token of the environment nowhere. With both, it takes both to sign.
        let mut key = Sha256::new_with_prefix("cronclave session");
        key.update(web.token.as_ref().map_or([0; 32], |token| hash(&token.0)));
        let single = tokens.iter().find(|token| token.name == LINK);
        key.update(single.map_or([0; 32], |token| token.hash));
        Known { tokens, key: key.finalize().into() }
    }

    /// Whoever holds this token. Takes the same time whichever it is.
    pub(super) fn bearer(&self, text: &str) -> Option<&Token> {
        let hash = hash(text);
        let same = |token: &&Token| bool::from(token.hash.ct_eq(&hash));
        self.tokens.iter().filter(same).fold(None, |found, token| found.or(Some(token)))
    }

    /// Whoever is called so.
    pub(super) fn named(&self, name: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.name == name)
    }

    /// What signs for `token`. Another token under the same name makes it another.
    pub(super) fn signer(&self, token: &Token) -> Hmac<Sha256> {
        #[allow(clippy::expect_used, reason = "any length is a key")]
        let mut signer = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length will do");
        signer.update(&token.hash);
        signer
    }

    /// Whether somebody could sign in.
    pub(super) fn is_anybody(&self) -> bool {
        self.tokens.iter().any(|token| token.name != LINK)
    }
}

/// The tokens, kept as their sources say.
pub(in crate::http) struct Tokens {
    web: Web,
    text: String,
    known: watch::Sender<Arc<Known>>,
}

impl Tokens {
    /// Reads them for the first time; `link` knows the bearer of the one-time link as well.
    pub(super) fn open(web: &Web, link: bool) -> Result<(Tokens, watch::Receiver<Arc<Known>>), String> {
        let text = web.tokens_file.as_deref().map(read).transpose()?.unwrap_or_default();
        let mut all = all(web, &text)?;
        if link {
            // Nobody knows a text with this hash.
            all.push(Token { name: LINK.into(), role: Role::Admin, hash: rand::random() });
        }
        let (known, out) = watch::channel(Arc::new(Known::new(all, web)));
        Ok((Tokens { web: web.clone(), text, known }, out))
    }

    /// Reads the file again and again. What cannot be used changes nothing, and is told.
    pub(in crate::http) async fn keep(mut self, bus: Bus) {
        let Some(file) = self.web.tokens_file.clone() else { return };
        let mut told = String::new();
        loop {
            sleep(LOOK).await;
            match self.look(file.clone()).await {
                Ok(false) => {}
                Ok(true) => told.clear(),
                Err(why) if why == told => {}
                Err(why) => {
                    bus.tell(Told::Warning(format!("the tokens stay as they were: {why}")));
                    told = why;
                }
            }
        }
    }

    /// Whether something changed.
    async fn look(&mut self, file: PathBuf) -> Result<bool, String> {
        let text = tokio::task::spawn_blocking(move || read(&file)).await.map_err(|error| error.to_string())??;
        if text == self.text {
            return Ok(false);
        }
        let all = all(&self.web, &text)?;
        self.text = text;
        self.known.send_replace(Arc::new(Known::new(all, &self.web)));
        Ok(true)
    }
}

fn read(file: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let opened = std::fs::File::open(file).and_then(|open| open.take(MOST).read_to_string(&mut text));
    opened.map(|_| text).map_err(|error| format!("CRONCLAVE_API_TOKENS_FILE {}: {error}", file.display()))
}

fn all(web: &Web, text: &str) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    if let Some(token) = &web.token {
        all.push(Token { name: OWN.into(), role: Role::Admin, hash: hash(&token.0) });
    }
    let Some(file) = &web.tokens_file else { return Ok(all) };
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |why: String| format!("{}:{}: {why}", file.display(), n + 1);
        let token = parse(line).map_err(at)?;
        if all.iter().any(|known| known.name == token.name) {
            return Err(at(format!("`{}` is there already", token.name)));
        }
        all.push(token);
    }
    if all.is_empty() {
        return Err(format!("{} holds no token: write lines as in `ana operator sha256:HEX`", file.display()));
    }
    Ok(all)
}

/// A line `name role sha256:HEX`. The hash is not repeated in what is told.
fn parse(line: &str) -> Result<Token, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, role, hash] = words[..] else {
        return Err("write a line as in `ana operator sha256:HEX`: a name, a role, a hash".into());
    };
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "_-@".contains(c);
    if name.len() > 64 || !name.chars().all(is_sound) || [OWN, LINK].contains(&name) {
        return Err("the name is not usable: letters, digits, `_`, `-` and `@`, at most 64".into());
    }
    let role = role.parse()?;
    let hash = hash.strip_prefix("sha256:").and_then(unhex);
    let how = "the hash is `sha256:` and 64 hexadecimal digits: printf %s \"$TOKEN\" | sha256sum";
    Ok(Token { name: name.into(), role, hash: hash.ok_or(how)? })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Web {
        Web { tokens_file: Some("tokens".into()), ..Web::default() }
    }

    #[test]
    fn a_line_that_cannot_be_used_says_where_and_shows_no_hash() {
        let hex = "ab".repeat(32);
        let told = |text: &str| all(&web(), text).err().unwrap();
        assert!(told("# nobody\n").contains("holds no token"));
        assert!(told(&format!("ana operator sha256:{hex}\nana viewer sha256:{hex}")).contains("tokens:2: `ana`"));
        assert!(told(&format!("ana root sha256:{hex}")).contains("`root` is not a role"));
        assert!(told(&format!("a.b viewer sha256:{hex}")).contains("the name"));
        let wrong = told(&format!("ana viewer md5:{hex}"));
        assert!(wrong.contains("sha256sum") && !wrong.contains(&hex), "{wrong}");
    }

    #[test]
    fn a_bearer_is_known_by_the_hash_of_what_it_shows() {
        let hex: String = hash("a token of ana's").iter().map(|byte| format!("{byte:02x}")).collect();
        let known = Known::new(all(&web(), &format!("ana operator sha256:{hex}\n")).unwrap(), &web());
        let ana = known.bearer("a token of ana's").unwrap();
        assert_eq!((ana.name.as_str(), ana.role), ("ana", Role::Operator));
        assert!(known.bearer("another").is_none() && known.bearer(&hex).is_none());
    }
}
