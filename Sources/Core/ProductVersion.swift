// The version of this source tree: every program says the same.

/// The version that programs print, report to each other and write to their metrics.
public enum ProductVersion {
    /// For example `0.1.0`.
    public static let text = "0.1.0"
}
