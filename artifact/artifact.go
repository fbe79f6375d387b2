// Package artifact names programs and file trees that are brought to hosts, each by what is in it.
//
// A component library gets such a name from a Go file that divisi artifact pack writes. It imports nothing
// else, and adds nothing to the program.
package artifact

// Artifact is the name of an artifact: a program with the libraries and files that it needs, or files alone.
// Two of the same sum are the same files.
type Artifact struct {
	Name    string
	Version string // as who packed it calls it, "" for none
	System  string // that it runs on, such as linux/amd64, "" for any
	SHA256  string // of its artifact.toml, which has the sums of all its files, in hexadecimal
}
