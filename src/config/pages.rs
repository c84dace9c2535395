//! The page of each code that a diagnostic may have: what it means, a wrong example, the mended one, and why.

macro_rules! pages {
    ($($code:ident)*) => {
        [$((stringify!($code), include_str!(concat!("../../docs/problems/", stringify!($code), ".md")))),*]
    };
}

const PAGES: &[(&str, &str)] = &pages![
    E0001 E0003 E0004 E0005 E0006 E0010 E0011 E0012 E0013 E0014 E0015 E0016 E0017 E0018 E0019 E0020 E0021 E0022
    E0023 E0024 E0025 E0026 E0027 E0028 E0029 E0030 E0031 E0032 E0033 E0034 E0035 E0036 E0037 E0038 E0039 E0040
    E0041 E0042 E0043 E0044 E0045
    E0101 E0102 E0103 E0104 E0105 E0106 E0107 E0108 E0109 E0110 E0111 E0113 E0114 E0115 E0116 E0117
    W0201 W0202 W0203 W0204 W0205 W0206 W0207 W0208 W0209 W0211 W0212 W0213
];

/// The page about a code, in Markdown; the code in any case.
pub fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

/// What a code means, in a line.
pub fn page_title(code: &str) -> Option<&'static str> {
    page(code)?.lines().next()?.split_once(": ").map(|(_, title)| title)
}

/// Every code that has a page.
pub fn codes() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(code, _)| *code)
}
