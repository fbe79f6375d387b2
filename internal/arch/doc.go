// Package arch keeps the architecture: its tests read the source of the repository and fail
// where an import goes up or sideways, a file has grown too long, or a package has a name that
// says nothing. The floors are drawn in ARCHITECTURE.md.
package arch
