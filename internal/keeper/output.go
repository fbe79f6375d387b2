//go:build linux || darwin

package keeper

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of logs.
const (
	maxLine  = 64 << 10               // longer lines are cut
	maxLines = 4096                   // that wait for the disk; more are dropped and counted
	maxBytes = 1 << 20                // the same in bytes
	maxFile  = 16 << 20               // a longer file is rotated
	oldFiles = 2                      // that are kept beside the current one
	lastTime = 200 * time.Millisecond // for what a process wrote just before its end
)

// marker begins a line that is a log entry of a weavelet, and stays as it is.
var marker = []byte(`{"divisi":1,`)

// output writes what a process prints to its log: lines of JSON, one for each line.
type output struct {
	name    string
	lines   chan []byte
	waiting atomic.Int64 // bytes in lines
	dropped atomic.Int64 // lines since the log last said so
	file    logFile
}

func newOutput(name, path string, size int64) *output {
	return &output{
		name: name, lines: make(chan []byte, maxLines), file: logFile{path: path, limit: size},
	}
}

// collect reads both streams aside. It writes nothing until before is closed, which may be nil:
// an earlier process of the same name has its last words first. What collect returns waits until
// everything is written, but not for children of the process that hold the streams open.
func (o *output) collect(stdout, stderr *os.File, before <-chan struct{}) (finish func()) {
	var readers, writer sync.WaitGroup
	readers.Go(func() { o.read(stdout, "stdout") })
	readers.Go(func() { o.read(stderr, "stderr") })
	read := make(chan struct{})
	go func() { readers.Wait(); close(read) }()
	writer.Go(func() {
		if before != nil {
			<-before
		}
		o.write()
	})
	return func() {
		select {
		case <-read:
		case <-time.After(lastTime):
		}
		stdout.Close()
		stderr.Close()
		<-read
		close(o.lines)
		writer.Wait()
	}
}

// read takes lines from a stream, and never waits for the disk: the process would.
func (o *output) read(r io.Reader, level string) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		text, cut, err := lines.ReadLine()
		if err != nil {
			return
		}
		line := o.entry(text, level)
		for cut && err == nil {
			_, cut, err = lines.ReadLine()
		}
		if o.waiting.Add(int64(len(line))) > maxBytes {
			o.drop(line)
			continue
		}
		select {
		case o.lines <- line:
		default:
			o.drop(line)
		}
	}
}

func (o *output) drop(line []byte) {
	o.waiting.Add(-int64(len(line)))
	o.dropped.Add(1)
}

// entry makes a line of the log of a line of output.
func (o *output) entry(text []byte, level string) []byte {
	if bytes.HasPrefix(text, marker) && json.Valid(text) {
		return append(bytes.Clone(text), '\n')
	}
	line, err := json.Marshal(struct {
		Divisi int       `json:"divisi"`
		Time   time.Time `json:"time"`
		Level  string    `json:"level"`
		Msg    string    `json:"msg"`
		Node   string    `json:"node"`
	}{1, time.Now().UTC(), level, string(bytes.ToValidUTF8(text, []byte("\ufffd"))), o.name})
	if err != nil {
		return nil
	}
	return append(line, '\n')
}

// write writes lines until there are no more.
func (o *output) write() {
	for line := range o.lines {
		o.waiting.Add(-int64(len(line)))
		o.confess()
		o.file.write(line)
	}
	o.confess()
	o.file.close()
}

// confess writes how many lines are missing at this place.
func (o *output) confess() {
	if n := o.dropped.Swap(0); n > 0 {
		lost := fmt.Sprintf("%d lines dropped: they came faster than they could be written", n)
		o.file.write(o.entry([]byte(lost), "warn"))
	}
}

// logFile is a file that is rotated. One that cannot be written loses lines, not the process.
type logFile struct {
	path  string
	limit int64 // of its size, unless one line is longer
	file  *os.File
	size  int64
}

func (l *logFile) write(line []byte) {
	if l.file == nil && !l.open() {
		return
	}
	if l.size > 0 && l.size+int64(len(line)) > l.limit {
		l.rotate()
		if !l.open() {
			return
		}
	}
	n, _ := l.file.Write(line)
	l.size += int64(n)
}

func (l *logFile) open() bool {
	var err error
	l.file, err = os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		l.file = nil
		return false
	}
	if info, err := l.file.Stat(); err == nil {
		l.size = info.Size()
	}
	return true
}

// rotate makes room for a new file. A file that cannot be moved grows on.
func (l *logFile) rotate() {
	l.close()
	for n := oldFiles; n > 0; n-- {
		from := l.path
		if n > 1 {
			from = fmt.Sprintf("%s.%d", l.path, n-1)
		}
		_ = os.Rename(from, fmt.Sprintf("%s.%d", l.path, n))
	}
	l.size = 0
}

func (l *logFile) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
