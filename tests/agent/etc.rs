//! `/etc/stillpoint` of a bed: the machine's own `/etc` below, the bed's files above.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::bed::{Bed, run};

pub(super) const SETTINGS: &str = "/etc/stillpoint/agent.toml";
pub(super) const HOOKS: &str = "/etc/stillpoint/hooks.d";

/// Makes the folder, in the bed's namespace alone.
pub(super) fn cover(bed: &Bed) {
    let parts = ["etc-upper", "etc-work"].map(|name| bed.path(name));
    parts.iter().for_each(|part| fs::create_dir(part).unwrap());
    let options =
        format!("lowerdir=/etc,upperdir={},workdir={}", parts[0].display(), parts[1].display());
    run("mount", &["-t", "overlay", "-o", &options, "etc", "/etc"]);
    fs::create_dir_all(HOOKS).unwrap();
}

/// Writes the settings.
pub(super) fn settings(text: &str) {
    fs::write(SETTINGS, text).unwrap();
    fs::set_permissions(SETTINGS, fs::Permissions::from_mode(0o644)).unwrap();
}

/// Writes a program.
pub(super) fn program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
