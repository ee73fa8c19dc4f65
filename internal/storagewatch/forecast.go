package storagewatch

import (
	"slices"
	"time"
)

// spans are the times over which growth is looked at: what fills a file system
// in hours shows in the last hour, what takes weeks in a day.
var spans = []struct{ over, least time.Duration }{
	{70 * time.Minute, 15 * time.Minute},
	{window, 6 * time.Hour},
}

// leastSamples are needed before anything is said: see slope.
const leastSamples = 5

// horizon is how far an estimate goes.
const horizon = 90 * 24 * time.Hour

// forecast returns how long what is free will last, the shorter of the
// estimates over each span; 0 when it does not shrink, or lasts beyond the horizon.
func forecast(samples []Sample, free func(Sample) uint64, now time.Time) time.Duration {
	var shortest time.Duration
	for _, span := range spans {
		from := now.Add(-span.over).Unix()
		at := slices.IndexFunc(samples, func(s Sample) bool { return s.At >= from })
		if at < 0 || len(samples)-at < leastSamples {
			continue
		}
		part := samples[at:]
		last := part[len(part)-1]
		if last.At-part[0].At < int64(span.least/time.Second) {
			continue
		}
		rate := -slope(part, free) // per second
		if rate <= 0 {
			continue
		}
		seconds := float64(free(last)) / rate
		if seconds >= horizon.Seconds() {
			continue
		}
		left := max(time.Second, time.Duration(seconds*float64(time.Second)))
		if shortest == 0 || left < shortest {
			shortest = left
		}
	}
	return shortest
}

// slope is nearly the median of the slopes between all pairs of samples (Theil
// and Sen's estimator): three in five shrink faster. One large file that is
// written at once does not move it, since of five samples and more no more than
// three pairs in five have that moment between them.
func slope(samples []Sample, of func(Sample) uint64) float64 {
	slopes := make([]float64, 0, len(samples)*(len(samples)-1)/2)
	for i := range samples {
		for k := i + 1; k < len(samples); k++ {
			if d := samples[k].At - samples[i].At; d > 0 {
				slopes = append(slopes, (float64(of(samples[k]))-float64(of(samples[i])))/float64(d))
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	slices.Sort(slopes)
	return slopes[len(slopes)*3/5]
}
