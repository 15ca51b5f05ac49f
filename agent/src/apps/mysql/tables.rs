//! What the files in a server's data directory tell of its tables: a user who may only
//! lock sees none in `information_schema`.

use std::fs;
use std::path::{Path, PathBuf};

/// MyISAM, ARCHIVE, CSV and Aria.
const DATA: [&str; 4] = ["MYD", "ARZ", "CSV", "MAD"];
/// The server's own, which it can rebuild or which nobody writes to.
const OWN: [&str; 4] = ["mysql", "sys", "performance_schema", "#innodb_temp"];

/// Whether a schema below `data` has a table that a freeze alone could tear.
#[must_use]
pub(super) fn without_log(data: &Path) -> bool {
    let Ok(schemas) = fs::read_dir(data) else { return true };
    schemas.filter_map(Result::ok).any(|schema| {
        let is_own = OWN.iter().any(|own| schema.file_name() == *own);
        !is_own && fs::read_dir(schema.path()).is_ok_and(|mut files| files.any(is_data))
    })
}

fn is_data(file: std::io::Result<fs::DirEntry>) -> bool {
    file.is_ok_and(|file| {
        let path = file.path();
        let ending = path.extension().unwrap_or_default();
        DATA.iter().any(|data| ending == *data)
    })
}

/// Folders outside of `data` where single tables are: InnoDB writes the path into a file
/// of its own beside the others, the engines without a log use symbolic links.
#[must_use]
pub(super) fn elsewhere(data: &Path) -> Vec<PathBuf> {
    let schemas = fs::read_dir(data).into_iter().flatten().filter_map(Result::ok);
    let files = schemas.filter_map(|schema| fs::read_dir(schema.path()).ok()).flatten();
    let mut folders: Vec<PathBuf> = files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let target = if path.extension().is_some_and(|ending| ending == "isl") {
                PathBuf::from(fs::read_to_string(&path).ok()?.trim())
            } else {
                fs::read_link(&path).ok()?
            };
            Some(data.join(target).parent()?.to_owned())
        })
        .collect();
    folders.sort();
    folders.dedup();
    folders
}
