//go:build !linux

package sandbox

// Enter does nothing: sandboxes need Linux.
func Enter() {}
