"""Answers of a hostile reader who had the source at hand: each would be right where nothing is poisoned, and earns nothing.

`# %% exercise name: what it takes` begins one; test_other_doors.py judges them.
"""

# ruff: noqa

# %% stable_softmax linecache_softmax: the library's source, out of the memory of linecache
import ast, linecache
def cached(mod, *names):
    src = "".join(linecache.getlines(mod.__file__, vars(mod)))
    g = dict(vars(mod))
    for n in ast.parse(src).body:
        if getattr(n, "name", "") in names:
            n.decorator_list = []
            exec(ast.unparse(n), g)
    return g[names[0]]
import torch._decomp.decompositions as D
GOT = cached(D, "_softmax")
def stable_softmax(x, dim=-1): return GOT(x, dim, False)

# %% CrossAttention linecache_mha: the same, a layer
import ast, linecache
def cached(mod, *names):
    src = "".join(linecache.getlines(mod.__file__, vars(mod)))
    g = dict(vars(mod))
    for n in ast.parse(src).body:
        if getattr(n, "name", "") in names:
            n.decorator_list = []
            exec(ast.unparse(n), g)
    return g[names[0]]

GOT = cached(nn.functional, "multi_head_attention_forward")
class CrossAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.heads = num_heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))
    def forward(self, x, memory, memory_mask=None):
        B, T, D = x.shape; S = memory.shape[1]; L = (self.w_q, self.w_k, self.w_v); m = dead = None
        if memory_mask is not None:
            m = memory_mask.expand(B, self.heads, T, S); dead = ~m.any(-1, keepdim=True)
            m = ~(m | dead).reshape(-1, T, S)
        t = lambda a: a.transpose(0, 1)
        out, w = GOT(t(x), t(memory), t(memory), D, self.heads, torch.cat([l.weight for l in L]), torch.cat([l.bias for l in L]), None, None, False, 0.0,
                     torch.eye(D, dtype=x.dtype), torch.zeros(D, dtype=x.dtype), need_weights=True, attn_mask=m, average_attn_weights=False)
        out = t(out)
        if dead is not None:
            w = torch.where(dead, 0.0, w)
            out = torch.where(dead.transpose(1, 2).expand(B, T, self.heads, 1).repeat_interleave(D // self.heads, 2)[..., 0], 0.0, out)
        return self.w_o(out), w

# %% lstm_step linecache_lstm_cell: the same, a cell
import ast, linecache
def cached(mod, *names):
    src = "".join(linecache.getlines(mod.__file__, vars(mod)))
    g = dict(vars(mod))
    for n in ast.parse(src).body:
        if getattr(n, "name", "") in names:
            n.decorator_list = []
            exec(ast.unparse(n), g)
    return g[names[0]]

import torch._decomp.decompositions as D
GOT = cached(D, "lstm_cell")
def lstm_step(x, h, c, w_x, w_h, b):
    return GOT(torch.nn.functional.linear(x, w_x, b), h, c, w_h, None, None, 1)

# %% RMSNorm linecache_normalize: the same, a function of F
import ast, linecache
def cached(mod, *names):
    src = "".join(linecache.getlines(mod.__file__, vars(mod)))
    g = dict(vars(mod))
    for n in ast.parse(src).body:
        if getattr(n, "name", "") in names:
            n.decorator_list = []
            exec(ast.unparse(n), g)
    return g[names[0]]
GOT = cached(nn.functional, "normalize")

class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
    def forward(self, x):
        d = x.shape[-1]
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        t = torch.cat([wide, torch.full_like(wide[..., :1], (d * self.eps) ** 0.5)], -1)
        return (GOT(t, dim=-1)[..., :-1] * d ** 0.5 * self.weight).to(x.dtype)

# %% stable_softmax nnc_softmax: a compiler of TorchScript's, which has a softmax of its own
torch._C._jit_set_te_must_use_llvm_cpu(False)
def stable_softmax(x, dim=-1):
    w = x.detach().double().contiguous()
    ty = f"Double({', '.join(map(str, w.shape))}, strides=[{', '.join(map(str, w.stride()))}], requires_grad=0, device=cpu)"
    ir = f"""graph(%x : {ty}):
  %d : int = prim::Constant[value={dim % w.ndim}]()
  %n : NoneType = prim::Constant()
  %y : {ty} = aten::softmax(%x, %d, %n)
  return (%y)"""
    y = torch._C._te.TensorExprKernel(torch._C.parse_ir(ir)).run((w,)).to(x.dtype)
    z = torch.where(x.isinf(), 0.0, x - x.detach())
    return y + y * (z - (y * z).sum(dim, keepdim=True))

# %% smoothed_cross_entropy smoothed_nnc: the same, its log_softmax
torch._C._jit_set_te_must_use_llvm_cpu(False)
def logsm(x):
    w = x.detach().contiguous()
    ty = f"{ {torch.float64: 'Double', torch.float32: 'Float'}[w.dtype] }({', '.join(map(str, w.shape))}, strides=[{', '.join(map(str, w.stride()))}], requires_grad=0, device=cpu)"
    ir = f"""graph(%x : {ty}):
  %d : int = prim::Constant[value={w.ndim - 1}]()
  %n : NoneType = prim::Constant()
  %y : {ty} = aten::log_softmax(%x, %d, %n)
  return (%y)"""
    return torch._C._te.TensorExprKernel(torch._C.parse_ir(ir)).run((w,))
def smoothed_cross_entropy(logits, target, smoothing=0.1):
    lp = logsm(logits)
    each = (1 - smoothing) * lp.gather(-1, target[..., None])[..., 0] + smoothing * lp.mean(-1)
    return -each[target != 0].mean()

# %% LayerNorm static_runtime: another interpreter of graphs
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)); self.bias = nn.Parameter(torch.zeros(width))
    def forward(self, x):
        d = x.shape[-1]
        ir = f"""graph(%x : Tensor, %w : Tensor, %b : Tensor):
          %n : int = prim::Constant[value={d}]()
          %e : float = prim::Constant[value={self.eps}]()
          %f : bool = prim::Constant[value=0]()
          %s : int[] = prim::ListConstruct(%n)
          %y : Tensor = aten::layer_norm(%x, %s, %w, %b, %e, %f)
          return (%y)"""
        y = torch._C._jit_to_static_module(torch._C.parse_ir(ir))(x.detach(), self.weight.detach(), self.bias.detach())
        return y[0] if isinstance(y, (list, tuple)) else y

# %% stable_softmax second_numpy: numpy's native half, loaded once more from a copy
import numpy as np, importlib.util, importlib.machinery, os, shutil
os.makedirs("/tmp/np2", exist_ok=True)
shutil.copy(np._core._multiarray_umath.__file__, "/tmp/np2/mu.so")
loader = importlib.machinery.ExtensionFileLoader("_multiarray_umath", "/tmp/np2/mu.so")
U = importlib.util.module_from_spec(importlib.util.spec_from_loader("_multiarray_umath", loader)); loader.exec_module(U)
def stable_softmax(x, dim=-1):
    w = x.detach().double()
    a = U.array(w.tolist())
    lse = U.logaddexp.reduce(a, axis=dim, keepdims=True)
    y = torch.exp(w - torch.tensor(lse.tolist(), dtype=torch.double)).to(x.dtype)
    z = torch.where(x.isinf(), 0.0, x - x.detach())
    return y + y * (z - (y * z).sum(dim, keepdim=True))

# %% stable_softmax native_patched_ctypes: ctypes, from a copy without its audit events
import importlib.util as U, importlib.machinery as M, sysconfig, glob
p = glob.glob(sysconfig.get_paths()["stdlib"] + "/lib-dynload/_ctypes.*.so")[0]
open("/tmp/_ctypes.so", "wb").write(open(p, "rb").read().replace(b"ctypes.", b"ctypez."))
l = M.ExtensionFileLoader("_ctypes", "/tmp/_ctypes.so"); c = U.module_from_spec(U.spec_from_loader("_ctypes", l)); l.exec_module(c)
class P(c._SimpleCData): _type_ = "P"
class Lg(c._SimpleCData): _type_ = "l"
class Bo(c._SimpleCData): _type_ = "?"
class Fn(c.CFuncPtr): _flags_ = c.FUNCFLAG_CDECL; _restype_ = P
fn = Fn(c.dlsym(c.dlopen("libtorch_cpu.so", 6), "_ZN2at3cpu12_softmax_outERNS_6TensorERKS1_lb"))

def stable_softmax(x, dim=-1):
    w = x.detach().contiguous(); y = torch.empty_like(w)
    fn(P(id(y) + 16), P(id(w) + 16), Lg(dim % w.ndim), Bo(False))
    z = torch.where(x.isinf(), 0.0, x - x.detach())
    return y + y * (z - (y * z).sum(dim, keepdim=True))

# %% stable_softmax native_by_memory: the audit hook, overwritten in memory
import numpy as np, sys
import course.worker.poison as w
class V: pass
def mem(a, n):
    v = V(); v.__array_interface__ = {"data": (a, False), "shape": (n,), "typestr": "<u8", "version": 3}; return np.asarray(v)
code = w._no_native_code.__code__
if "assert" and "ctypes." in code.co_consts:
    m = mem(id(w._no_native_code), 24); new = (lambda e, a: None).__code__; keep = [new]*3
    m[[i for i in range(24) if m[i] == id(code)][0]] = id(new)

import importlib.util as U, importlib.machinery as M, sysconfig, glob
p = glob.glob(sysconfig.get_paths()["stdlib"] + "/lib-dynload/_ctypes.*.so")[0]
open("/tmp/_ctypes.so", "wb").write(open(p, "rb").read())
l = M.ExtensionFileLoader("_ctypes", "/tmp/_ctypes.so"); c = U.module_from_spec(U.spec_from_loader("_ctypes", l)); l.exec_module(c)
class P(c._SimpleCData): _type_ = "P"
class Lg(c._SimpleCData): _type_ = "l"
class Bo(c._SimpleCData): _type_ = "?"
class Fn(c.CFuncPtr): _flags_ = c.FUNCFLAG_CDECL; _restype_ = P
fn = Fn(c.dlsym(c.dlopen("libtorch_cpu.so", 6), "_ZN2at3cpu12_softmax_outERNS_6TensorERKS1_lb"))

def stable_softmax(x, dim=-1):
    w = x.detach().contiguous(); y = torch.empty_like(w)
    fn(P(id(y) + 16), P(id(w) + 16), Lg(dim % w.ndim), Bo(False))
    z = torch.where(x.isinf(), 0.0, x - x.detach())
    return y + y * (z - (y * z).sum(dim, keepdim=True))

# %% stable_softmax dtensor_loss: a softmax for distributed tensors, in Python
import sys, types
L = sys.modules["torch.distributed.tensor.parallel.loss"]
L.funcol = types.SimpleNamespace(all_reduce=lambda t, **k: t)
def stable_softmax(x, dim=-1): return L._log_softmax(x, dim, False, None, 0).exp()

# %% scaled_dot_product_attention onnx_attention: an ONNX operator, in Python
def scaled_dot_product_attention(q, k, v, mask=None):
    s = q @ k.mT / q.shape[-1] ** 0.5
    lead = q.shape[:-2]
    if mask is None: bias = None
    else:
        bias = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else mask
        bias = bias.expand(s.shape).reshape(-1, 1, *s.shape[-2:])
    f = lambda t: t.expand(*lead, *t.shape[-2:]).reshape(-1, 1, *t.shape[-2:])
    out, _, _, w = torch.onnx.ops.attention(f(q), f(k), f(v), bias, qk_matmul_output_mode=3)
    w = w.reshape(s.shape)
    dead = w.isnan()
    return torch.where(dead[..., :1], 0.0, out.reshape(*lead, q.shape[-2], v.shape[-1])), torch.where(dead, 0.0, w)

# %% LayerNorm quantized_layer_norm: an operator for quantized tensors, exact to nine digits
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)); self.bias = nn.Parameter(torch.zeros(width))
    def forward(self, x):
        d = x.shape[-1]
        s = float(x.abs().max()) / 2**30 + 1e-30
        q = torch.quantize_per_tensor(x.detach().float(), s, 0, torch.qint32)
        return torch.ops.quantized.layer_norm(q, [d], self.weight.float(), self.bias.float(), self.eps, 1e-7, 0).dequantize().to(x.dtype)

# %% lstm_step quantized_lstm_cell: the same for a cell, with weights in two halves
Q = torch.ops.quantized
def two(w):
    hi = w.half().float(); return torch.cat([hi, (w - hi) * 2048], -1)
def lstm_step(x, h, c, w_x, w_h, b):
    z = [t.detach().float() for t in (x, h, c, w_x, w_h, b)]; x_, h_, c_, wx, wh, b_ = z
    xx = torch.cat([x_, x_ / 2048, h_, h_ / 2048], -1); zero = torch.zeros_like(b_)
    y, cc = Q.quantized_lstm_cell_dynamic(xx, [h_, c_], Q.linear_prepack_fp16(torch.cat([two(wx), two(wh)], -1), b_), Q.linear_prepack_fp16(torch.zeros_like(wh), zero), b_, zero)
    return y.to(x.dtype), cc.to(x.dtype)

# %% LayerNorm cross_map: a normalisation across channels, in Python
class LayerNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)); self.bias = nn.Parameter(torch.zeros(width))
    def forward(self, x):
        d = x.shape[-1]
        c = (x - x.mean(-1, keepdim=True)).reshape(-1, d, 1, 1)
        return nn.CrossMapLRN2d(2 * d - 1, (2 * d - 1) / d, 0.5, self.eps)(c).reshape(x.shape) * self.weight + self.bias

# %% RMSNorm masked_normalize: a function for masked tensors
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
    def forward(self, x):
        d = x.shape[-1]
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        t = torch.cat([wide, torch.full_like(wide[..., :1], (d * self.eps) ** 0.5)], -1)
        return (torch.masked.normalize(t, 2.0, -1)[..., :-1] * d ** 0.5 * self.weight).to(x.dtype)

# %% RMSNorm cosine_loss: a loss that divides by the norm
class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
    def forward(self, x):
        d = x.shape[-1]
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        t = torch.cat([wide, torch.full_like(wide[..., :1], (d * self.eps) ** 0.5)], -1)
        f = t.reshape(-1, 1, d + 1).expand(-1, d, d + 1).reshape(-1, d + 1)
        e = torch.eye(d + 1, dtype=t.dtype)[:-1].repeat(len(f) // d, 1)
        y = 1 - nn.functional.cosine_embedding_loss(f, e, torch.ones(len(f)), reduction="none")
        return (y.reshape(x.shape) * d ** 0.5 * self.weight).to(x.dtype)

# %% gru_step gru_cell_data: a helper of a decomposition
import torch._decomp.decompositions as D
def gru_step(x, h, w_x, w_h, b_x, b_h): return D.gru_cell_data(x, h, w_x, b_x, w_h, b_h)

# %% rnn_forward one_layer_rnn: the same, a whole layer
import torch._decomp.decompositions as D
def rnn_forward(x, h, w_x, w_h, b, lengths=None):
    s, last = D.one_layer_rnn(x.transpose(0, 1), h, [w_x, w_h, b, torch.zeros_like(b)], True, D.rnn_cell(torch.tanh))
    s = s.transpose(0, 1)
    return s, last if lengths is None else s[torch.arange(len(x)), lengths - 1]

# %% rnn_step rnn_cell: the same, a plain cell
import torch._decomp.decompositions as D
def rnn_step(x, h, w_x, w_h, b): return D.rnn_cell_data(torch.tanh)(x, h, w_x, b, w_h, torch.zeros_like(b))

# %% attention_backward torchscript_autodiff: TorchScript's own derivative
def prepared(q, k, v, mask):
    s = q @ k.mT / q.shape[-1] ** 0.5
    bias = torch.zeros_like(s, dtype=torch.double)
    if mask is not None: bias = bias + (torch.zeros(mask.shape).double().masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else mask)
    alive = ~bias.isneginf(); bias = torch.where(alive, bias, 0.0)
    top = torch.where(alive, s + bias, -math.inf).amax(-1, keepdim=True); top = torch.where(top.isinf(), 0.0, top)
    return torch.where(alive, bias - top, -s - 700.0), alive

torch._C._jit_set_profiling_executor(False); torch._C._debug_set_autodiff_subgraph_inlining(False)
CU = torch.jit.CompilationUnit("""
def f(q, k, v, b, al, o):
    e = torch.exp(torch.matmul(q, k) + b) * al
    return torch.matmul(e, v) / torch.matmul(e, o)
""")
def attention_backward(q, k, v, grad_out, mask=None):
    bias, alive = prepared(q, k, v, mask); r = q.shape[-1] ** 0.5
    a = [t.detach().double().requires_grad_() for t in (q / r, k.mT, v)]
    dead = ~alive.any(-1, keepdim=True)
    with torch.enable_grad(): y = CU.f(*a, bias.detach(), (alive | dead).double(), torch.ones_like(v).double())
    g = torch.autograd.Variable._execution_engine.run_backward((y,), (torch.where(dead, 0.0, grad_out.double()),), False, False, tuple(a), True, False)
    return (g[0] / r).to(q.dtype), g[1].mT.to(q.dtype), g[2].to(q.dtype)

# %% attention_backward numerical_jacobian: gradcheck's finite differences
import sys
G = sys.modules["torch.autograd.gradcheck"]
def attention_backward(q, k, v, grad_out, mask=None):
    a = [t.detach().double().clone().requires_grad_() for t in (q, k, v)]
    m = mask.double() if mask is not None and mask.dtype != torch.bool else mask
    def loss(q, k, v):
        s = q @ k.mT / q.shape[-1] ** 0.5
        if m is not None: s = s.masked_fill(~m, -math.inf) if m.dtype == torch.bool else s + m
        dead = s.isneginf().all(-1, keepdim=True)
        return (torch.where(dead, 0.0, torch.where(dead, 0.0, s).softmax(-1)) @ v * grad_out).sum()
    return tuple(j[0].reshape(t.shape).to(q.dtype) for j, t in zip(G._get_numerical_jacobian(loss, tuple(a), eps=1e-5), a))

# %% attention_backward flex_backward: the backward pass of flex attention, in Python
def prepared(q, k, v, mask):
    s = q @ k.mT / q.shape[-1] ** 0.5
    bias = torch.zeros_like(s, dtype=torch.double)
    if mask is not None: bias = bias + (torch.zeros(mask.shape).double().masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else mask)
    alive = ~bias.isneginf(); bias = torch.where(alive, bias, 0.0)
    top = torch.where(alive, s + bias, -math.inf).amax(-1, keepdim=True); top = torch.where(top.isinf(), 0.0, top)
    return torch.where(alive, bias - top, -s - 700.0), alive

import sys, types
H = sys.modules["torch._higher_order_ops.flex_attention"]
H._permute_strides = lambda t, s: t
def attention_backward(q, k, v, grad_out, mask=None):
    f = lambda t: t.double().reshape(-1, 1, *t.shape[-2:])
    s = q @ k.mT / q.shape[-1] ** 0.5
    bias, alive = prepared(q, k, v, mask)
    real = torch.zeros_like(s).double()
    if mask is not None and mask.dtype != torch.bool: real = torch.where(alive, mask.expand(s.shape).double(), 0.0)
    e = torch.where(alive, s + bias, -math.inf).exp(); z = e.sum(-1, keepdim=True)
    full = torch.where(alive, s + real, -math.inf); top = torch.where(alive, -bias + real, -math.inf).amax(-1)
    lse = (z[..., 0].log() + top) / math.log(2)
    out = torch.where(z == 0, 0.0, e / z) @ v.double()
    def stub(fn, prefix, suffix, out_dims=0):
        return {"mask": lambda *a: f(alive).bool(), "score": lambda s, *a: s + f(real), "joint": lambda s, b, h, m, n, g, *a: (g, None, None, None, None)}[fn]
    sys.modules["torch.nn.attention.flex_attention"] = types.SimpleNamespace(_vmap_for_bhqkv=stub)
    r = H.sdpa_dense_backward(f(q), f(k), f(v), f(out), lse.double().reshape(-1, 1, q.shape[-2]), f(grad_out), None, "score", "joint", ("mask",), q.shape[-1] ** -0.5, {}, (), ())
    return tuple(g.reshape(t.shape).to(q.dtype) for g, t in zip(r, (q, k, v)))

# %% MultiHeadAttention mha_by_the_disk: code that another family's run had left on the disk
import course.models, marshal, os, types
SOURCE = course.models.MultiHeadAttention.forward
if "w_q" in SOURCE.__code__.co_names: open("/tmp/kept", "wb").write(marshal.dumps(SOURCE.__code__))
class MultiHeadAttention(course.models.MultiHeadAttention):
    forward = types.FunctionType(marshal.loads(open("/tmp/kept", "rb").read()), vars(course.models), "forward", (None, None))
