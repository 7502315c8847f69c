// What tch does not wrap of libtorch.
//
// Every function returns null, or a message that `vqkit_free` releases: no exception crosses the boundary.
// Devices are numbered as in tch: -1 is the CPU, n >= 0 is CUDA device n. Tensors are `at::Tensor*`, as in tch.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/autocast_mode.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <c10/util/env.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/headeronly/version.h>

#if defined(__linux__) || defined(__APPLE__)
#include <dlfcn.h>
#include <sys/resource.h>
#endif

namespace {

using Message = char*;
using Tensors = at::Tensor* const*;

// The message where there is no memory for another: null would say that all went well.
char no_memory[] = "std::bad_alloc";

// A copy of a text, which `release` takes back; never null.
Message say(const char* text, size_t length) noexcept {
    const Message copy = strndup(text, length);
    return copy == nullptr ? no_memory : copy;
}

Message say(const char* text) noexcept { return say(text, std::strlen(text)); }

void release(Message message) noexcept {
    if (message != no_memory) std::free(message);
}

// Runs `body`; what it throws becomes the message.
template <typename Body>
Message guarded(Body&& body) noexcept {
    try {
        body();
        return nullptr;
    } catch (const c10::Error& error) {
        return say(error.what_without_backtrace());
    } catch (const std::exception& error) {
        return say(error.what());
    } catch (...) {
        return say("unknown C++ exception");
    }
}

at::Device device_of(int32_t index) {
    return index < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

std::vector<at::Tensor> list_of(Tensors tensors, size_t count) {
    std::vector<at::Tensor> list;
    list.reserve(count);
    for (size_t i = 0; i < count; ++i) list.push_back(*tensors[i]);
    return list;
}

// The fused kernels walk raw memory: all operands need one kind, one device and the same strides.
void check_layout(const at::Tensor& parameter, const at::Tensor& moment) {
    TORCH_CHECK(
        parameter.scalar_type() == moment.scalar_type() && parameter.device() == moment.device() &&
            parameter.strides() == moment.strides(),
        "a parameter of shape ", parameter.sizes(), " changed its kind, device or layout after the optimizer was made");
}

at::Tensor gradient_like(const at::Tensor& parameter) {
    const at::Tensor& gradient = parameter.grad();
    TORCH_CHECK(!gradient.is_sparse(), "Adam takes dense gradients only");
    if (gradient.strides() == parameter.strides()) return gradient;
    return at::empty_like(parameter).copy_(gradient);
}

// A backward pass of the caller's. `at_outputs` has null for an output without a gradient; the pass puts null into `gradients`
// for an input that gets none. Messages of `call` are the shim's to free.
struct Backward {
    void* context;
    Message (*call)(void* context, Tensors at_outputs, size_t outputs, at::Tensor** gradients, size_t inputs);
    void (*drop)(void* context);
};

class CustomNode final : public torch::autograd::Node {
public:
    CustomNode(Backward backward, torch::autograd::edge_list edges) : Node(std::move(edges)), backward_(backward) {}
    ~CustomNode() override { release_variables(); }

    torch::autograd::variable_list apply(torch::autograd::variable_list&& at_outputs) override {
        const std::lock_guard<std::mutex> lock(mutex_);
        TORCH_CHECK(backward_.context != nullptr, "the graph was freed in an earlier backward pass");
        std::vector<at::Tensor*> given, made(num_outputs(), nullptr);
        for (auto& gradient : at_outputs) given.push_back(gradient.defined() ? &gradient : nullptr);
        std::vector<std::unique_ptr<at::Tensor>> owned(made.size());
        const std::unique_ptr<char, decltype(&release)> message(
            backward_.call(backward_.context, given.data(), given.size(), made.data(), made.size()), &release);
        // Owned before anything can throw.
        for (size_t i = 0; i < made.size(); ++i) owned[i].reset(made[i]);
        if (message != nullptr) throw std::runtime_error(message.get());
        torch::autograd::variable_list gradients;
        for (const auto& tensor : owned) gradients.push_back(tensor == nullptr ? at::Tensor() : *tensor);
        return gradients;
    }

    void release_variables() override {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (backward_.context != nullptr) backward_.drop(backward_.context);
        backward_.context = nullptr;
    }

private:
    Backward backward_;
};

}  // namespace

extern "C" {

void vqkit_free(Message message) { release(message); }

const char* vqkit_libtorch_version() { return TORCH_VERSION; }

// One step of Adam (decoupled = false) or AdamW (true) for the parameters that have a gradient.
Message vqkit_adam_step(Tensors parameters, Tensors exp_avgs, Tensors exp_avg_sqs, Tensors steps, size_t count,
                        double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        std::vector<at::Tensor> values, gradients, first, second, counts;
        for (size_t i = 0; i < count; ++i) {
            if (!parameters[i]->grad().defined()) continue;
            check_layout(*parameters[i], *exp_avgs[i]);
            values.push_back(*parameters[i]);
            gradients.push_back(gradient_like(*parameters[i]));
            first.push_back(*exp_avgs[i]);
            second.push_back(*exp_avg_sqs[i]);
            counts.push_back(*steps[i]);
        }
        if (values.empty()) return;
        at::_foreach_add_(counts, 1);
        const auto run = [&](auto&& kernel) {
            kernel(values, gradients, first, second, at::TensorList(), counts, lr, beta1, beta2, weight_decay, eps,
                   /*amsgrad=*/false, /*maximize=*/false);
        };
        if (decoupled) {
            run([](auto&&... operands) { at::_fused_adamw_(operands...); });
        } else {
            run([](auto&&... operands) { at::_fused_adam_(operands...); });
        }
    });
}

// The gradients of `count` outputs, each with the gradient at it, of its shape, with respect to the inputs alone; `made`
// receives one new tensor for each input, or null for one that no output depends on, where that is allowed.
Message vqkit_grad(Tensors outputs, Tensors at_outputs, size_t count, Tensors inputs, size_t wanted, bool keep_graph,
                   bool create_graph, bool allow_unused, at::Tensor** made) {
    return guarded([&] {
        const auto gradients = torch::autograd::grad(list_of(outputs, count), list_of(inputs, wanted),
                                                     list_of(at_outputs, count), keep_graph, create_graph, allow_unused);
        // Given away together, once nothing can throw.
        std::vector<std::unique_ptr<at::Tensor>> owned(wanted);
        for (size_t i = 0; i < wanted; ++i)
            if (gradients[i].defined()) owned[i] = std::make_unique<at::Tensor>(gradients[i]);
        for (size_t i = 0; i < wanted; ++i) made[i] = owned[i].release();
    });
}

// Adds the gradients of `count` outputs, each with the gradient at it, of its shape, to those of the inputs; to those of all
// leaves where no input is given.
Message vqkit_backward(Tensors outputs, Tensors at_outputs, size_t count, Tensors inputs, size_t wanted) {
    return guarded([&] {
        torch::autograd::backward(list_of(outputs, count), list_of(at_outputs, count), /*keep_graph=*/false, /*create_graph=*/false,
                                  list_of(inputs, wanted));
    });
}

// Whether a gradient would reach one of the tensors now.
bool vqkit_takes_gradient(Tensors tensors, size_t count) {
    return at::GradMode::is_enabled() &&
           std::any_of(tensors, tensors + count, [](const at::Tensor* tensor) { return tensor->requires_grad(); });
}

// Makes outputs, tensors without a graph, functions of the inputs; integers stay constants. Takes the context in any case.
Message vqkit_custom_function(Tensors inputs, size_t wanted, Tensors outputs, size_t count, Backward backward) {
    return guarded([&] {
        std::unique_ptr<void, void (*)(void*)> held(backward.context, backward.drop);
        auto edges = torch::autograd::collect_next_edges(list_of(inputs, wanted));
        auto* const made = new CustomNode(backward, std::move(edges));
        // From here on the node drops the context, also where the next line throws, which then deletes the node.
        held.release();
        const std::shared_ptr<CustomNode> node(made, torch::autograd::deleteNode);
        for (size_t i = 0; i < count; ++i) {
            if (at::isFloatingType(outputs[i]->scalar_type())) {
                torch::autograd::set_history(*outputs[i], node);
            } else {
                node->add_input_metadata(torch::autograd::Node::undefined_input());
            }
        }
    });
}

// A copy of a message that `vqkit_free` or the shim itself can free.
Message vqkit_message(const char* text, size_t length) { return say(text, length); }

// Drops the gradients, so that "has a gradient" means "took part since".
Message vqkit_clear_gradients(Tensors parameters, size_t count) {
    return guarded([&] {
        for (size_t i = 0; i < count; ++i) parameters[i]->mutable_grad().reset();
    });
}

// Scales all gradients by min(1, max_norm / (norm + 1e-6)), or not at all where that is NaN; `norm` receives their global
// 2-norm, on their device.
Message vqkit_clip_gradients(Tensors parameters, size_t count, double max_norm, at::Tensor** norm) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        std::vector<at::Tensor> gradients;
        for (size_t i = 0; i < count; ++i)
            if (parameters[i]->grad().defined()) gradients.push_back(parameters[i]->grad());
        if (gradients.empty()) {
            *norm = new at::Tensor(at::zeros({}, at::kFloat));
            return;
        }
        const at::Tensor total = at::stack(at::_foreach_norm(gradients, 2)).norm();
        const at::Tensor scale = (max_norm / (total + 1e-6)).clamp_max(1.0).nan_to_num(1.0);
        // To read a number of the CPU is no wait, and where nothing is clipped it saves a pass over all gradients.
        if (!scale.is_cpu() || scale.item<double>() != 1.0) at::_foreach_mul_(gradients, scale);
        *norm = new at::Tensor(total);
    });
}

// averages += weight * (values - averages)
Message vqkit_lerp(Tensors averages, Tensors values, size_t count, double weight) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        at::_foreach_lerp_(list_of(averages, count), list_of(values, count), weight);
    });
}

Message vqkit_leaky_relu(const at::Tensor* x, double slope, at::Tensor** made) {
    return guarded([&] { *made = new at::Tensor(at::leaky_relu(*x, slope)); });
}

Message vqkit_autocast_get(int32_t device, bool* enabled, int8_t* kind) {
    return guarded([&] {
        const auto type = device_of(device).type();
        *enabled = at::autocast::is_autocast_enabled(type);
        *kind = static_cast<int8_t>(at::autocast::get_autocast_dtype(type));
    });
}

Message vqkit_autocast_set(int32_t device, bool enabled, int8_t kind) {
    return guarded([&] {
        const auto type = device_of(device).type();
        at::autocast::set_autocast_enabled(type, enabled);
        at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(kind));
    });
}

// The outermost level on the way out forgets the weights that were cast: the next step changes them.
Message vqkit_autocast_nest(bool enter) {
    return guarded([&] {
        if (enter) {
            at::autocast::increment_nesting();
        } else if (at::autocast::decrement_nesting() == 0) {
            at::autocast::clear_cache();
        }
    });
}

Message vqkit_rng_seed(int32_t device, uint64_t seed) {
    return guarded([&] {
        at::Generator generator = at::globalContext().defaultGenerator(device_of(device));
        std::lock_guard<std::mutex> lock(generator.mutex());
        generator.set_current_seed(seed);
    });
}

Message vqkit_rng_get(int32_t device, at::Tensor** state) {
    return guarded([&] {
        at::Generator generator = at::globalContext().defaultGenerator(device_of(device));
        std::lock_guard<std::mutex> lock(generator.mutex());
        *state = new at::Tensor(generator.get_state());
    });
}

Message vqkit_rng_set(int32_t device, const at::Tensor* state) {
    return guarded([&] {
        at::Generator generator = at::globalContext().defaultGenerator(device_of(device));
        std::lock_guard<std::mutex> lock(generator.mutex());
        generator.set_state(*state);
    });
}

// Filling fresh memory with NaN, which libtorch couples to this switch, is a debugging aid and costs a pass each time.
Message vqkit_deterministic_set(bool on) {
    return guarded([&] {
        if (on) c10::utils::set_env("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/false);
        auto& context = at::globalContext();
        context.setDeterministicAlgorithms(on, /*warn_only=*/false);
        context.setDeterministicFillUninitializedMemory(false);
        if (on) context.setBenchmarkCuDNN(false);
    });
}

Message vqkit_deterministic_get(bool* on) {
    return guarded([&] { *on = at::globalContext().deterministicAlgorithms(); });
}

Message vqkit_cuda_peak_bytes(int32_t device, int64_t* bytes) {
    return guarded([&] {
        const auto stats = at::getDeviceAllocator(at::kCUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(device));
        *bytes = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
    });
}

Message vqkit_cuda_reset_peak(int32_t device) {
    return guarded([&] {
        at::getDeviceAllocator(at::kCUDA)->resetPeakStats(static_cast<c10::DeviceIndex>(device));
    });
}

// The most bytes of memory that this process ever held; 0 where the system cannot say.
Message vqkit_process_peak_bytes(int64_t* bytes) {
    return guarded([&] {
        *bytes = 0;
#if defined(__linux__) || defined(__APPLE__)
        rusage usage;
        if (getrusage(RUSAGE_SELF, &usage) == 0) *bytes = usage.ru_maxrss;
#endif
#if defined(__linux__)
        *bytes *= 1024;
#endif
    });
}

// Writes a TorchScript module to `path`: tensors under names in which a dot leads into a submodule, of which the trainable ones
// are parameters and the others buffers; the methods that `source` defines; and texts by name that are stored beside them.
Message vqkit_script_save(
    const char* path, const char* source, const char* const* names, Tensors tensors, const bool* trainable, size_t count,
    const char* const* extra_names, const char* const* extra_texts, size_t extras) {
    return guarded([&] {
        const auto unit = std::make_shared<torch::jit::CompilationUnit>();
        const auto made = [&](const char* name) {
            torch::jit::Module module(c10::QualifiedName(name), unit, true);
            // What PyTorch asks of every module.
            module.register_attribute("training", c10::BoolType::get(), false);
            return module;
        };
        torch::jit::Module root = made("__torch__.vqkit.Tokenizer");
        for (size_t i = 0; i < count; ++i) {
            const std::string name(names[i]);
            torch::jit::Module place = root;
            size_t begin = 0;
            for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', begin)) {
                const std::string part = name.substr(begin, dot - begin);
                if (!place.hasattr(part)) place.register_module(part, made("__torch__.vqkit.Part"));
                place = place.attr(part).toModule();
                begin = dot + 1;
            }
            place.register_parameter(name.substr(begin), tensors[i]->detach(), !trainable[i]);
        }
        root.define(source);
        torch::jit::ExtraFilesMap files;
        for (size_t i = 0; i < extras; ++i) files[extra_names[i]] = extra_texts[i];
        // By its name the file's would become that of the archive, and a name that begins with a dot is none.
        std::ofstream out(path, std::ios::binary | std::ios::trunc);
        TORCH_CHECK(out.good(), "cannot write ", path);
        root.save(out, files);
        TORCH_CHECK(out.flush().good(), "cannot write ", path);
    });
}

// Whether convolutions and products in bfloat16 have hardware of their own (compute capability 8 or more).
Message vqkit_cuda_has_bf16(int32_t device, bool* has) {
    return guarded([&] {
        const c10::DeviceGuard guard(device_of(device));
        *has = at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8();
    });
}

// Where the libtorch in this process was loaded from; null where the system cannot say.
Message vqkit_libtorch_path(char** path) {
    return guarded([&] {
        *path = nullptr;
#if defined(__linux__) || defined(__APPLE__)
        Dl_info info;
        const auto symbol = reinterpret_cast<void*>(static_cast<at::Context& (*)()>(&at::globalContext));
        if (dladdr(symbol, &info) != 0 && info.dli_fname != nullptr) *path = strdup(info.dli_fname);
#endif
    });
}

}  // extern "C"
