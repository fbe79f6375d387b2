// Package site says where in the source of a program something was called.
package site

import (
	"path"
	"runtime"
	"strconv"
	"strings"
)

// Outside returns the file and the line of the last call from outside a package, whose functions begin with a prefix.
func Outside(prefix string) string {
	pcs := make([]uintptr, 10)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if f.Function == "runtime.goexit" {
			return "a go statement"
		}
		if !strings.HasPrefix(f.Function, prefix) || !more {
			return short(f.File) + ":" + strconv.Itoa(f.Line)
		}
	}
}

// short returns the last two parts of a path.
func short(file string) string { return path.Join(path.Base(path.Dir(file)), path.Base(file)) }
