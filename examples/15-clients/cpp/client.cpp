// A client of a served text classifier: C++17 and libcurl.
//
// Tensors travel as bytes behind a short JSON header (the binary extension of the Open Inference Protocol), and the
// answer's parts come in the order in which they were asked for: nothing has to parse JSON. Little-endian machines.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include <curl/curl.h>

namespace {
constexpr long tries = 4, longest_wait_ms = 10000;
using Options = std::map<std::string, std::string>;
size_t append(char* data, size_t size, size_t count, void* text) {
    static_cast<std::string*>(text)->append(data, size * count);
    return size * count;
}

struct Answer {
    long status = 0, retry_after_s = -1, header_bytes = 0;  // header: the JSON in front of the tensors
    std::string body;
};

// One kept connection to one model.
class Client {
public:
    explicit Client(const Options& options) : curl_(curl_easy_init(), curl_easy_cleanup) {
        if (!curl_) throw std::runtime_error("libcurl cannot start");
        char* name = curl_easy_escape(curl_.get(), options.at("model").c_str(), 0);
        url_ = options.at("url") + "/v2/models/" + name;
        curl_free(name);
        curl_easy_setopt(curl_.get(), CURLOPT_TIMEOUT_MS, std::lround(1000 * std::stod(options.at("timeout"))));
        curl_easy_setopt(curl_.get(), CURLOPT_WRITEFUNCTION, append);
        using File = std::pair<CURLoption, const char*>;
        for (auto [option, name] : {File{CURLOPT_CAINFO, "ca"}, {CURLOPT_SSLCERT, "cert"}, {CURLOPT_SSLKEY, "key"}})
            if (options.count(name)) curl_easy_setopt(curl_.get(), option, options.at(name).c_str());
    }

    // Send a request; returns what stands behind the JSON header of the answer, or all where it has none.
    std::string send(const std::string& path, const std::string* body = nullptr, size_t header_bytes = 0) {
        for (int attempt = 1;; ++attempt) {
            Answer answer = send_once(path, body, header_bytes);
            if (answer.status == 200) return answer.body.substr(std::max(0L, answer.header_bytes));
            if ((answer.status != 429 && answer.status != 503) || attempt == tries)  // a prediction may be repeated
                throw std::runtime_error(std::to_string(answer.status) + " " + answer.body);
            long wait_ms = answer.retry_after_s >= 0 ? 1000 * answer.retry_after_s : 100L << attempt;
            std::this_thread::sleep_for(std::chrono::milliseconds(std::min(wait_ms, longest_wait_ms)));
        }
    }
private:
    Answer send_once(const std::string& path, const std::string* body, size_t header_bytes) {
        Answer answer;
        curl_slist* headers = nullptr;
        auto add = [&](const std::string& line) { headers = curl_slist_append(headers, line.c_str()); };
        if (const char* key = std::getenv("MODELSERVICE_API_KEY")) add(std::string("Authorization: Bearer ") + key);
        if (body) {
            add("Inference-Header-Content-Length: " + std::to_string(header_bytes));
            add("Content-Type: application/octet-stream");
            curl_easy_setopt(curl_.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
            curl_easy_setopt(curl_.get(), CURLOPT_POSTFIELDS, body->data());
        } else {
            curl_easy_setopt(curl_.get(), CURLOPT_HTTPGET, 1L);
        }
        curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl_.get(), CURLOPT_URL, (url_ + path).c_str());
        curl_easy_setopt(curl_.get(), CURLOPT_WRITEDATA, &answer.body);
        CURLcode code = curl_easy_perform(curl_.get());
        curl_slist_free_all(headers);
        if (code != CURLE_OK) throw std::runtime_error(curl_easy_strerror(code));
        curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &answer.status);
        answer.header_bytes = number_in("Inference-Header-Content-Length");
        answer.retry_after_s = number_in("Retry-After");
        return answer;
    }

    long number_in(const char* name) {
        curl_header* found = nullptr;
        if (curl_easy_header(curl_.get(), name, 0, CURLH_HEADER, -1, &found) != CURLHE_OK) return -1;
        return std::isdigit(static_cast<unsigned char>(*found->value)) ? std::atol(found->value) : -1;
    }

    std::unique_ptr<CURL, void (*)(CURL*)> curl_;
    std::string url_;
};
template <typename Number>
Number take(const std::string& bytes, size_t& at) {
    Number number;
    if (at + sizeof number > bytes.size()) throw std::runtime_error("the answer ends too early");
    std::memcpy(&number, bytes.data() + at, sizeof number);
    at += sizeof number;
    return number;
}

void classify(Client& client, const std::vector<std::string>& texts) {
    std::string data;
    for (const std::string& text : texts) {  // BYTES: the length in four bytes, then the bytes
        auto length = static_cast<uint32_t>(text.size());
        data.append(reinterpret_cast<const char*>(&length), sizeof length).append(text);
    }
    std::string header = R"({"inputs":[{"name":"text","datatype":"BYTES","shape":[)" + std::to_string(texts.size()) +
        R"(],"parameters":{"binary_data_size":)" + std::to_string(data.size()) + R"(}}],"outputs":[)"
        R"({"name":"label","parameters":{"binary_data":true}},)"
        R"({"name":"probability","parameters":{"binary_data":true}}]})";
    std::string body = header + data;
    std::string answer = client.send("/infer", &body, header.size());
    std::vector<std::string> labels;
    size_t at = 0;
    while (labels.size() < texts.size()) {
        uint32_t length = take<uint32_t>(answer, at);
        if (length > answer.size() - at) throw std::runtime_error("the answer ends too early");
        labels.push_back(answer.substr(at, length));
        at += length;
    }
    for (size_t i = 0; i < texts.size(); ++i)  // FP32: four bytes a number, without lengths
        std::printf("%s %.3f %s\n", labels[i].c_str(), take<float>(answer, at), texts[i].c_str());
}
}  // namespace

int main(int count, char** arguments) {
    Options options{{"url", "http://127.0.0.1:8080"}, {"model", "spam"}, {"timeout", "10"}};
    std::vector<std::string> texts;
    for (int i = 1; i < count; ++i) {
        std::string word = arguments[i];
        if (word.rfind("--", 0) == 0 && i + 1 < count) options[word.substr(2)] = arguments[++i];
        else texts.push_back(word);
    }
    if (texts.empty()) {
        std::fputs("usage: client [--url URL] [--model NAME] [--ca PEM] [--cert PEM --key PEM] TEXT...\n", stderr);
        return 2;
    }
    try {
        Client client(options);
        std::printf("%s\n", client.send("").c_str());
        classify(client, texts);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "client: %s: %s\n", options["url"].c_str(), error.what());
        return 1;
    }
}
