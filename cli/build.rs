//! Puts the pages of docs/codes into the binary, so that the person on call has them at hand.

use std::fmt::Write;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/codes").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = vec![];
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        names.extend(
            name.strip_suffix(".md").filter(|name| name.starts_with("SP")).map(str::to_owned),
        );
    }
    names.sort();
    let mut text =
        "/// Code and page, by code.\npub(crate) const PAGES: &[(&str, &str)] = &[\n".to_owned();
    for name in names {
        let path = folder.join(format!("{name}.md"));
        writeln!(text, "    ({name:?}, include_str!({path:?})),").map_err(std::io::Error::other)?;
    }
    text += "];\n";
    std::fs::write(Path::new(&std::env::var("OUT_DIR").unwrap_or_default()).join("pages.rs"), text)
}
