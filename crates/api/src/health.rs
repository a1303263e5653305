/// What keeps the agent from being well; nothing if it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why not every listener is open.
    pub listeners: Vec<String>,
    /// Why not every output is up.
    pub outputs: Vec<String>,
}
