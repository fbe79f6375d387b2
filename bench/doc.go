// Package bench compares Divisi with what one would use instead, both in the same run. README.md has the
// results.
package bench
