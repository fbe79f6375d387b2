package keeper

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
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
	maxQueue = 1024                   // lines that wait for the disk; more are dropped and counted
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
	dropped atomic.Int64
	file    logFile
}

func newOutput(name, path string) *output {
	return &output{name: name, lines: make(chan []byte, maxQueue), file: logFile{path: path}}
}

// collect reads both streams aside. What it returns waits for the rest, but not for children of
// the process that hold the streams open.
func (o *output) collect(stdout, stderr *os.File) (finish func()) {
	var readers sync.WaitGroup
	readers.Go(func() { o.read(stdout, "stdout") })
	readers.Go(func() { o.read(stderr, "stderr") })
	read := make(chan struct{})
	go func() { readers.Wait(); close(read) }()
	written := make(chan struct{})
	go func() { o.write(); close(written) }()
	return func() {
		select {
		case <-read:
		case <-time.After(lastTime):
		}
		stdout.Close()
		stderr.Close()
		<-read
		close(o.lines)
		<-written
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
		select {
		case o.lines <- line:
		default:
			o.dropped.Add(1)
		}
	}
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
		if n := o.dropped.Swap(0); n > 0 {
			lost := fmt.Sprintf("%d lines dropped: they came faster than they could be written", n)
			o.file.write(o.entry([]byte(lost), "warn"))
		}
		o.file.write(line)
	}
	o.file.close()
}

// logFile is a file that is rotated. One that cannot be written loses lines, not the process.
type logFile struct {
	path string
	file *os.File
	size int64
}

func (l *logFile) write(line []byte) {
	if l.file != nil && l.size+int64(len(line)) > maxFile {
		l.rotate()
	}
	if l.file == nil {
		var err error
		l.file, err = os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return
		}
		if info, err := l.file.Stat(); err == nil {
			l.size = info.Size()
		}
	}
	n, _ := l.file.Write(line)
	l.size += int64(n)
}

func (l *logFile) rotate() {
	l.close()
	var errs []error
	for n := oldFiles; n > 1; n-- {
		errs = append(errs, os.Rename(fmt.Sprintf("%s.%d", l.path, n-1), fmt.Sprintf("%s.%d", l.path, n)))
	}
	errs = append(errs, os.Rename(l.path, l.path+".1"))
	_ = errors.Join(errs...) // a file that stays where it is grows on
	l.size = 0
}

func (l *logFile) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
