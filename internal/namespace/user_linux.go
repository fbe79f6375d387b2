package namespace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ForbiddenError is the error of a system that does not let this user have user namespaces, or what is needed in them.
type ForbiddenError struct {
	why string
	err error
}

func (e *ForbiddenError) Error() string { return fmt.Sprintf("%s (%v)", e.why, e.err) }
func (e *ForbiddenError) Unwrap() error { return e.err }

// Lacking returns the error of what the system does not let this user have, in a sentence with the way out.
func Lacking(why string, err error) error { return &ForbiddenError{why, err} }

// Refused reports whether an error is how a system forbids namespaces.
func Refused(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL)
}

// Forbidden says that something needs namespaces, and by which setting the system forbids them, if that is known.
func Forbidden(what string, err error) error {
	why := what + " needs user namespaces, which this system or container does not allow"
	for _, knob := range []struct{ file, bad, way string }{
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
		{"/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"},
	} {
		text, readErr := os.ReadFile(knob.file)
		if readErr == nil && string(bytes.TrimSpace(text)) == knob.bad {
			why = what + " needs user namespaces, which this system does not allow: root can, with " + knob.way
		}
	}
	return &ForbiddenError{why, err}
}
