package penstock.function;

import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.core.metrics.Info;
import io.prometheus.metrics.expositionformats.PrometheusTextFormatWriter;
import io.prometheus.metrics.instrumentation.jvm.ProcessMetrics;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntSupplier;
import java.util.function.ToDoubleFunction;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/** What the function counts, in the Prometheus text format: what the runtime in Python counts, by the same names. */
final class Metrics {
  static final String CONTENT_TYPE = PrometheusTextFormatWriter.CONTENT_TYPE;

  private static final double[] SECONDS = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10
  };
  private static final double[] ROWS = {1, 10, 100, 1_000, 10_000, 100_000};
  private static final int TENTHS = 10;

  private final PrometheusRegistry registry = new PrometheusRegistry();
  private final Counter requests =
      Counter.builder().name("penstock_requests").help("Requests answered.").labelNames("path", "status")
          .register(registry);
  private final Histogram seconds =
      histogram("penstock_request_seconds", "Time from the first byte of a request being handled to its answer.", SECONDS)
          .labelNames("path").register(registry);
  private final Histogram rows = histogram("penstock_rows", "Rows of an answered request.", ROWS).register(registry);
  private final Counter errors =
      Counter.builder().name("penstock_errors").help("Requests refused or failed, by kind.").labelNames("kind")
          .register(registry);
  private final Info model =
      Info.builder().name("penstock_model_info").help("The model that answers; always 1.")
          .labelNames("name", "version", "key").register(registry);
  private volatile Histogram scores;
  private volatile ToDoubleFunction<Answer> score;

  Metrics() {
    ProcessMetrics.builder().register(registry);
  }

  /** Tell how many large bodies are in work. */
  void watch(IntSupplier inWork) {
    GaugeWithCallback.builder().name("penstock_large_requests").help("Large requests in work or waiting.")
        .callback(gauge -> gauge.call(inWork.getAsInt())).register(registry);
  }

  /** Name the model that answers. */
  void serves(FunctionPackage served) {
    model.setLabelValues(served.name(), served.version(), served.key());
    score = scoreOf(served);
    if (score != null) {
      scores = histogram("penstock_score", "Answers, by score.", bounds(served)).register(registry);
    }
  }

  /** Count one answer to a request of a route, after so many nanoseconds. */
  void answered(String route, int status, long nanoseconds) {
    requests.labelValues(route, Integer.toString(status)).inc();
    seconds.labelValues(route).observe(nanoseconds / 1e9);
  }

  /** Count the rows of one request, which got these answers; of the scores, one that is null is left out. */
  void scored(List<Answer> answers) {
    rows.observe(answers.size());
    if (scores != null) {
      answers.stream().mapToDouble(score).filter(value -> !Double.isNaN(value)).forEach(scores::observe);
    }
  }

  /** Count a refusal or failure by its kind, one of a few words of ours. */
  void failed(String kind) {
    errors.labelValues(kind).inc();
  }

  /** All metrics in the exposition format. */
  byte[] text() {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    try {
      PrometheusTextFormatWriter.create().write(text, registry.scrape());
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return text.toByteArray();
  }

  private static Histogram.Builder histogram(String name, String help, double... bounds) {
    return Histogram.builder().name(name).help(help).classicOnly().classicUpperBounds(bounds);
  }

  /** An answer's score, NaN where it has none; null of classes without their probabilities, whose answers have none. */
  private static ToDoubleFunction<Answer> scoreOf(FunctionPackage served) {
    if (served.classes().isEmpty()) {
      return answer -> answer.prediction() instanceof Double number ? number : Double.NaN;
    }
    if (!served.showsProbability()) {
      return null;
    }
    if (served.classes().size() == 2) {
      return answer -> answer.probability()[1];
    }
    return answer -> Arrays.stream(answer.probability()).filter(Double::isFinite).max().orElse(Double.NaN);
  }

  /** Tenths of a probability; of a number the tenths of Spark's own answers to the samples. */
  private static double[] bounds(FunctionPackage served) {
    if (!served.classes().isEmpty()) {
      return IntStream.rangeClosed(1, TENTHS).mapToDouble(tenth -> tenth / (double) TENTHS).toArray();
    }
    double[] found =
        served.answers().stream().map(answer -> answer.path("prediction")).filter(answer -> answer.isNumber())
            .mapToDouble(answer -> answer.doubleValue()).sorted().toArray();
    DoubleStream tenths = IntStream.rangeClosed(0, TENTHS).mapToDouble(tenth -> quantile(found, tenth / (double) TENTHS));
    return tenths.distinct().toArray();
  }

  /** Between the two sorted values that are nearest, as numpy.quantile has it by default. */
  private static double quantile(double[] sorted, double share) {
    double place = share * (sorted.length - 1);
    int below = (int) place;
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
  }
}
