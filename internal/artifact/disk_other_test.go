//go:build darwin

package artifact

import "testing"

func smallDisk(t *testing.T) string {
	t.Skip("a file system of a given size needs Linux")
	return ""
}
