package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/family"
)

// first is the first process of a sandbox.
type first struct{ env []string }

// serve is its life. Everything in the sandbox ends with it.
func serve(b birth) error {
	life := os.NewFile(lifeLine, "line")
	syscall.CloseOnExec(lifeLine)
	go func() {
		_, _ = io.Copy(io.Discard, life)
		os.Exit(1) // the watcher has gone
	}()
	door, err := b.open()
	if err != nil {
		return err
	}
	f := &first{env: []string{"HOME=/tmp", "DIVISI_HOME=" + State, "XDG_RUNTIME_DIR=" + runtime}}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok && (name != "PATH" || b.Root == "") {
			f.env = append(f.env, name+"="+value)
		}
	}
	if b.Root != "" {
		f.env = append(f.env, "PATH="+usualPath)
	}

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go family.ReapOrphans(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/agent", f.agent)
	mux.HandleFunc("POST /v1/arrive", f.arrive)
	mux.HandleFunc("POST /v1/dial", agent.ServeDial)
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = h.Serve(door) }() // as long as the process lives
	if _, err := life.WriteString(stageFirst + "\n"); err != nil {
		return err
	}

	<-ended
	h.Close() // nobody begins another agent
	return end()
}

// usualPath is where programs are that come with their own files.
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// open returns the socket at which this process is asked, and hands the others out.
func (b birth) open() (door net.Listener, err error) {
	if err := os.MkdirAll(hands, 0o700); err != nil {
		return nil, err
	}
	for i, name := range b.Sockets {
		fd := firstSocket + i
		syscall.CloseOnExec(fd)
		if name != Door {
			err = hand(name, fd)
		} else {
			door, err = net.FileListener(os.NewFile(uintptr(fd), name))
		}
		if err != nil {
			return nil, err
		}
	}
	if door == nil {
		return nil, errors.New("it has no socket at which it is asked")
	}
	return door, nil
}

// hand hands a socket out.
func hand(name string, fd int) error {
	l, err := net.Listen("unix", Hand(name))
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				continue // whoever wanted it has gone
			}
			_, _, _ = conn.(*net.UnixConn).WriteMsgUnix([]byte{0}, syscall.UnixRights(fd), nil)
			conn.Close()
		}
	}()
	return nil
}

// lookEvery is how often it is looked whether something still runs.
const lookEvery = 20 * time.Millisecond

// end asks everything in the sandbox to end, and returns when nothing runs any more. The keeper of the machine does not
// wait for ever.
func end() error {
	err := syscall.Kill(-1, syscall.SIGTERM)
	for err == nil {
		time.Sleep(lookEvery)
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
		err = syscall.Kill(-1, 0)
	}
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// agent executes the program of a sum and a name as an agent, or says that it is not there. The body of the request is its
// input, and that of the answer its output.
func (f *first) agent(w http.ResponseWriter, r *http.Request) {
	path, env, err := agent.Kept(State, r.FormValue("sum"), r.FormValue("name"))
	if err != nil {
		var u syscall.Utsname
		_ = syscall.Uname(&u)
		_ = json.NewEncoder(w).Encode(map[string]string{"missing": text(u.Sysname[:]) + " " + text(u.Machine[:])}) // or the client has gone
		return
	}
	f.run(w, r, path, env)
}

// text returns what the kernel has written.
func text[C int8 | uint8](field []C) string {
	var b []byte
	for _, c := range field {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

// arrive takes a program, which keeps itself once it is there whole.
func (f *first) arrive(w http.ResponseWriter, r *http.Request) {
	path, env, err := agent.Receive(State, r.Body, r.FormValue("sum"), r.FormValue("name"), r.FormValue("length"))
	if err != nil {
		w.Header().Set("Trailer", errorTrailer)
		w.WriteHeader(http.StatusOK)
		w.Header().Set(errorTrailer, strconv.Quote(err.Error()))
		return
	}
	defer os.Remove(path)
	r.Body = http.NoBody
	f.run(w, r, path, env)
}

const maxWords = 4 << 10 // bytes of what a command says when it fails

// run runs a program until it ends, or the client goes.
func (f *first) run(w http.ResponseWriter, r *http.Request, path string, env []string) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/1.1 has it
	w.Header().Set("Trailer", errorTrailer)
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()

	cmd := exec.CommandContext(r.Context(), path)
	words := &limited{}
	cmd.Env, cmd.Dir = append(f.env, env...), "/"
	cmd.Stdout, cmd.Stderr = &flushing{w, control}, words
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		go func() {
			_, _ = io.Copy(in, r.Body) // however it ends
			in.Close()
		}()
		err = cmd.Wait()
	}
	if err != nil {
		w.Header().Set(errorTrailer, strconv.Quote(fmt.Sprintf("%v: %s", err, words.text)))
	}
}

// flushing has what is written arrive at once.
type flushing struct {
	w       io.Writer
	control *http.ResponseController
}

func (f *flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	return n, errors.Join(err, f.control.Flush())
}

// limited keeps the beginning of what is written.
type limited struct {
	mu   sync.Mutex // guards text
	text []byte
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p[:min(len(p), maxWords-len(l.text))]...)
	return len(p), nil
}
