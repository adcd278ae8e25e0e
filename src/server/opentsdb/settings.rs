//! What a user may set about OpenTSDB; the configuration has the same names below `opentsdb.`.

use lang::opentsdb::rollup::RollupConfig;

use super::uids::UidKind;

/// Headers that a browser may send from another site, unless set otherwise.
const CORS_HEADERS: &str = "Authorization, Content-Type, Accept, Origin, User-Agent, DNT, \
                            Cache-Control, X-Mx-ReqToken, Keep-Alive, X-Requested-With, \
                            If-Modified-Since";

/// See the fields.
#[derive(Clone, Debug)]
pub struct OpenTsdbSettings {
    /// Bytes of the number of a name; greater numbers are wider.
    pub uid_width: usize,
    /// Queries may delete the points that they find.
    pub allow_delete: bool,
    /// Filters may name tag values that nobody ever wrote.
    pub skip_unresolved_tagvs: bool,
    /// Points of metrics that were never heard of are taken.
    pub auto_create_metrics: bool,
    /// Points with tag keys that were never heard of are taken.
    pub auto_create_tagks: bool,
    /// Points with tag values that were never heard of are taken.
    pub auto_create_tagvs: bool,
    /// Origins whose pages may read answers: `*` for all, a list between commas, or nothing.
    pub cors_domains: String,
    /// Headers that such a page may send.
    pub cors_headers: String,
    /// Name of a request header whose value is a tag of every point of the request; empty = none.
    pub header_tag: String,
    /// Which pre-aggregated points are taken; none without.
    pub rollups: Option<RollupConfig>,
    /// Histograms are taken.
    pub histograms: bool,
    /// Refused lines of the line protocol are answered.
    pub telnet_errors: bool,
}

impl Default for OpenTsdbSettings {
    fn default() -> Self {
        Self {
            uid_width: 3,
            allow_delete: false,
            skip_unresolved_tagvs: false,
            auto_create_metrics: true,
            auto_create_tagks: true,
            auto_create_tagvs: true,
            cors_domains: String::new(),
            cors_headers: CORS_HEADERS.to_owned(),
            header_tag: String::new(),
            rollups: None,
            histograms: false,
            telnet_errors: true,
        }
    }
}

impl OpenTsdbSettings {
    /// True if writing a point may give a name of this kind its number.
    pub fn auto_create(&self, kind: UidKind) -> bool {
        match kind {
            UidKind::Metric => self.auto_create_metrics,
            UidKind::Key => self.auto_create_tagks,
            UidKind::Value => self.auto_create_tagvs,
        }
    }
}
