//! The names by which applications are asked for, on the command line and in the settings.

/// What has to be quiesced besides the filesystems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Filesystem,
    /// Every running PostgreSQL cluster.
    PostgreSql,
    /// Every running MySQL, Percona and MariaDB server.
    MySql,
    /// Every running Redis and Valkey server.
    Redis,
    /// Every running MongoDB server.
    MongoDb,
    /// Every running InterSystems IRIS instance.
    Iris,
    /// Every running SAP HANA system.
    SapHana,
    /// Every running SQL Server.
    SqlServer,
    /// Whatever the hooks of this instance quiesce.
    Hooks,
}

/// Each with its name.
const ALL: [(&str, Wanted); 9] = [
    ("filesystem", Wanted::Filesystem),
    ("postgresql", Wanted::PostgreSql),
    ("mysql", Wanted::MySql),
    ("redis", Wanted::Redis),
    ("mongodb", Wanted::MongoDb),
    ("iris", Wanted::Iris),
    ("saphana", Wanted::SapHana),
    ("sqlserver", Wanted::SqlServer),
    ("hooks", Wanted::Hooks),
];

/// Every name.
pub const NAMES: [&str; ALL.len()] = {
    let (mut names, mut at) = ([""; ALL.len()], 0);
    while at < ALL.len() {
        names[at] = ALL[at].0;
        at += 1;
    }
    names
};

/// The application of a name.
///
/// # Errors
/// The word, if it is none.
pub fn parse(name: &str) -> Result<Wanted, String> {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, wanted)| *wanted).ok_or_else(|| name.to_owned())
}
