package httpd

import (
	"strconv"
	"time"

	"github.com/divisi-go/divisi/metrics"
)

// labels have nothing that a client could choose.
type labels struct {
	Handler string // files, none, or the path of the handler
	Code    string // 2xx
}

type handlerLabel struct {
	Handler string
}

var (
	requests = metrics.NewCounterMap[labels]("httpd_requests_total", "Requests, by the class of their status")
	sent     = metrics.NewCounterMap[handlerLabel]("httpd_sent_bytes_total", "Bytes of bodies that clients were sent")
	seconds  = metrics.NewHistogramMap[handlerLabel]("httpd_request_seconds", "Time from the header of a request to the end of its answer",
		[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10})
)

// count counts an answer.
func count(handler string, a *answer, took time.Duration) {
	code := a.code
	if code == 0 {
		code = 200
	}
	requests.Get(labels{handler, strconv.Itoa(code/100) + "xx"}).Inc()
	sent.Get(handlerLabel{handler}).Add(float64(a.bytes))
	seconds.Get(handlerLabel{handler}).Put(took.Seconds())
}
